"""Statuses and happenings of a made-up session: the chain of 2020 in its second phase."""

from typing import Any

import numpy as np

from app.console.happenings import DevicePulse, DeviceRead, LogLine
from app.gui.scene.signals import END_NS, SEED

SECOND_NS = 1_000_000_000
OTHERS = {
    "padova": ("southampton",),
    "southampton": ("padova", "zurich"),
    "zurich": ("southampton",),
}


def status(site: str, **changes: Any) -> dict[str, Any]:
    """Return a site's status, ARMED and well, but for `changes`."""
    n_samples = 9_412_864 if site == "padova" else 0
    shown: dict[str, Any] = {
        "site": site,
        "now_ns": END_NS,
        "session_folder": f"/data/sessions/2026-03-14T092611Z_{site}_0007",
        "experiment_hash": "",
        "failure": "",
        "is_dry_run": False,
        "session_code": "kfdm",
        "gate": gate(site, "armed"),
        "safe_reports": [],
        "switched_off": {"why": "", "time_ns": None},
        "control": {"number": 1, "name": f"operator at {site}", "since_ns": END_NS},
        "links": [link(other) for other in OTHERS[site]],
        "synapses": synapses() if site == "southampton" else [],
        "instruments": instruments(site),
        "loop_latency": latencies(),
        "process": {"cpu_s": 61.2, "max_memory_bytes": 214_000_000, "pid": 1},
        "amplifier": {"n_samples": n_samples, "n_lost": 0} if site == "padova" else None,
        "protocol": protocol() if site == "zurich" else None,
        "event_log": {"failure": ""},
        "console": {"mean_frame_ms": 0.21, "attached": [1, 2]},
    }
    if site == "padova":
        shown["recording"] = {
            "state": "recording",
            "n_samples": 6_204_416,
            "n_bytes": 6_204_416 * 120,
            "n_samples_lost": 0,
            "failure": "",
            "folder": f"{shown['session_folder']}/Record Node 101/experiment1/recording1",
            "fill": 0.0,
            "seconds_left": 41_300.0,
        }
    return {**shown, **changes}


def gate(site: str, state: str, **changes: Any) -> dict[str, Any]:
    """Return a Gate in a state."""
    shown: dict[str, Any] = {
        "state": state,
        "since_ns": END_NS - 312 * SECOND_NS,
        "who": f"operator at {site}",
        "reason": "first run, culture 14, DIV 21",
        "expires_ns": END_NS + 3288 * SECOND_NS,
        "n_refusals": {},
        "last_refusal": None,
        "blocks": {},
        "leases": [],
        "frozen": [],
        "budgets": [
            {"instrument": "arc1", "device": "w12b21", "n_pulses": 10_418},
            {"instrument": "arc1", "device": "w25b8", "n_pulses": 7_950},
        ],
    }
    return {**shown, **changes}


def link(other: str, **changes: Any) -> dict[str, Any]:
    """Return a link that is up."""
    shown = {
        "site": other,
        "state": "up",
        "for_s": 1843.0,
        "reason": "",
        "age_of_last_frame_s": 0.021,
        "age_of_last_event_sent_s": 0.31,
        "age_of_last_event_received_s": 0.084,
        "latency": {
            "n_exchanges": 128,
            "round_trip": {"min_ns": 31_400_000, "p50_ns": 32_100_000, "p99_ns": 38_700_000},
            "there": {"min_ns": 15_700_000, "p50_ns": 15_900_000, "p99_ns": 17_100_000},
            "back": {"min_ns": 15_700_000, "p50_ns": 16_200_000, "p99_ns": 22_900_000},
            "uncertainty_ns": 15_900_000,
        },
        "rtt_ns": 31_400_000,
        "offset_ns": -4_210_000,
        "uncertainty_ns": 15_900_000,
        "has_our_experiment": True,
        "n_events_sent": 18_244,
        "n_events_received": 17_963,
        "n_events_lost": 0,
        "n_frames_lost": 0,
        "n_resent": 12,
        "n_resent_received": 3,
        "n_duplicates": 2,
        "n_events_refused": 0,
        "n_unacknowledged": 1,
    }
    return {**shown, **changes}


def synapses() -> list[dict[str, Any]]:
    """Return both synapses of the chain."""
    rows = ((1, "ABsyn", 8210.0, 0.84), (2, "BAsyn", 6890.0, 0.58))
    return [
        {
            "synapse": number,
            "name": name,
            "resistance_ohm": resistance_ohm,
            "weight": weight,
            "is_holding": False,
            "n_wanted": 41,
            "n_waiting": 0,
            "n_late": 0,
        }
        for number, name, resistance_ohm, weight in rows
    ]


def instruments(site: str) -> list[dict[str, Any]]:
    """Return a site's instrument."""
    name, kind = {
        "padova": ("mea1", "amplifier"),
        "southampton": ("arc1", "memristors"),
        "zurich": ("chip1", "neuron chip"),
    }[site]
    age_s = 0.004 if kind == "amplifier" else None
    return [{"name": name, "kind": kind, "age_s": age_s, "n_waiting": 0, "n_dropped": 0}]


def latencies() -> list[int]:
    """Return a histogram around 1 ms."""
    rng = np.random.default_rng(SEED)
    edges_s = np.geomspace(1e-4, 10.0, 41)
    times_s = rng.lognormal(np.log(1.1e-3), 0.45, 5210)
    return [int(n) for n in np.bincount(np.searchsorted(edges_s, times_s), minlength=42)]


def protocol() -> dict[str, Any]:
    """Return the protocol in its second phase."""
    return {
        "state": "running",
        "phase_name": "potentiation",
        "end_ns": END_NS + 22 * SECOND_NS,
        "detail": "",
    }


def device_happenings() -> list[object]:
    """Return both devices' last two minutes: depression, rest, potentiation."""
    rng = np.random.default_rng(SEED)
    made: list[object] = []
    for synapse, place, start_ohm in ((1, (12, 21), 8600.0), (2, (25, 8), 8050.0)):
        value_ohm = start_ohm
        for second in range(-110, 0):
            direction = 1 if second > -14 else -1 if -80 < second < -62 else 0
            time_ns = END_NS + second * SECOND_NS + synapse * 40_000_000
            if direction:
                before_ohm = value_ohm
                limit_ohm = 9050.0 if direction > 0 else 4050.0
                value_ohm += 0.16 * (limit_ohm - value_ohm) + float(rng.normal(0, 20))
                made.append(
                    DevicePulse(
                        time_ns=time_ns,
                        synapse=synapse,
                        instrument="arc1",
                        wordline=place[0],
                        bitline=place[1],
                        direction="LTP" if direction > 0 else "LTD",
                        before_ohm=before_ohm,
                        after_ohm=value_ohm,
                        verdict="moved",
                        detail="",
                    )
                )
            made.append(
                DeviceRead(
                    time_ns=time_ns,
                    instrument="arc1",
                    wordline=place[0],
                    bitline=place[1],
                    resistance_ohm=value_ohm + float(rng.normal(0, 9)),
                )
            )
    return made


def log_lines(site: str) -> list[object]:
    """Return what the log says."""
    lines = (
        (-402, "info", "engine", "all outputs were read and switched off"),
        (-398, "info", f"link {OTHERS[site][0]}", "up"),
        (-330, "info", f"operator at {site}", "medium changed at 08:40"),
        (-312, "info", "gate", f"ARMED by operator at {site}: first run, culture 14, DIV 21"),
        (-310, "info", "recording", "started: Record Node 101/experiment1/recording1"),
    )
    return [
        LogLine(time_ns=END_NS + at * SECOND_NS, level=level, source=source, text=text)  # type: ignore[arg-type]
        for at, level, source, text in lines
    ]
