"""One snapshot of an engine, as plain values for consoles and scripts."""

import math
import os
import resource
from dataclasses import asdict, astuple
from typing import Any

from app.engine.engine import Engine
from app.engine.parts import EngineParts
from drivers.mea.protocol import Pattern


def engine_status(engine: Engine, parts: EngineParts) -> dict[str, Any]:
    """Return what the engine knows of itself now, as msgspec encodes it.

    Records are left as they are: turning them into dictionaries here would cost the console thread
    more than everything else in it. A figure that is not known (nan) becomes null.
    """
    now_ns = parts.clock_ns()
    gate = parts.gate.snapshot()
    acquisition = parts.acquisition
    status: dict[str, Any] = {
        "site": parts.site.site,
        "now_ns": now_ns,
        "session_folder": str(parts.session.folder),
        "experiment_hash": parts.experiment_hash,
        "failure": engine.failure,
        "is_dry_run": parts.is_dry_run,
        "safe_reports": [
            {"instrument": r.instrument, "state": r.state.value, "detail": r.detail}
            for r in engine.safe_reports
        ],
        "gate": {
            "state": gate.state.value,
            "since_ns": gate.since_ns,
            "who": gate.who,
            "reason": gate.reason,
            "expires_ns": gate.expires_ns,
            "stop_epoch": gate.stop_epoch,
            "n_permits": gate.n_permits,
            "n_refusals": dict(gate.n_refusals),
            "last_refusal": gate.last_refusal,
            "stale_leases": [lease.name for lease in gate.leases if not lease.is_fresh],
            "blocks": dict(gate.blocks),
            "frozen": list(gate.frozen_devices),
            "budgets": [
                {
                    "instrument": spent.instrument,
                    "device": spent.device,
                    "n_pulses": spent.n_pulses,
                    "budget_pulses": spent.budget_pulses,
                }
                for spent in gate.spent
            ],
            "leases": list(gate.leases),
            "is_by_program": gate.is_by_program,
            "audit_head": gate.audit_head,
        },
        "switched_off": {"why": engine.switched_off[0], "time_ns": engine.switched_off[1] or None},
        "instruments": _instruments(parts, now_ns),
        "upkeep": _upkeep(parts),
        "loop_latency": parts.ledger.loop_latency.counts(),
        "process": _process(),
        "event_log": parts.event_log.status(),
        "late_checks": parts.late_checker.status if parts.late_checker else None,
        "synapses": list(parts.network.views) if parts.network else [],
        "links": parts.links.status(now_ns),
        "certificate_days_left": parts.links.own_certificate_days_left,
        "listen_port": parts.links.listen_port,
        "protocol": engine.protocol.status if engine.protocol else None,
        "amplifier": acquisition.status if acquisition else None,
        "chip_spikes": sum(reader.n_spikes for reader in parts.chip_readers),
        "n_strangers": parts.links.n_strangers,
        "n_unusable_psps": parts.links.n_unusable_psps,
        "console": _console(engine, parts),
        "procedures": parts.procedures.status() if parts.procedures else [],
        "devices_waiting": sum(worker.n_waiting for worker in parts.devices),
    }
    if parts.raw_writer is not None:
        raw = parts.raw_writer.status()
        status["recording"] = {
            "state": raw.state.value,
            "n_samples": raw.n_samples,
            "n_bytes": raw.n_bytes,
            "n_samples_lost": raw.n_samples_lost,
            "failure": raw.failure,
            "folder": None if raw.folder is None else str(raw.folder),
            "n_waiting": raw.n_waiting,
            "fill": raw.fill,
            "seconds_left": raw.seconds_left,
        }
    return status


def _instruments(parts: EngineParts, now_ns: int) -> list[dict[str, Any]]:
    """Return what each instrument's worker knows of it: age of its last data, what waits."""
    rows = []
    if parts.acquisition is not None and parts.amplifier is not None:
        last_ns = parts.acquisition.status.last_block_ns
        actuator = parts.actuators.get(parts.amplifier.name)
        rows.append(
            {
                "name": parts.amplifier.name,
                "kind": "amplifier",
                "age_s": (now_ns - last_ns) / 1e9 if last_ns else None,
                "n_waiting": 0 if actuator is None else actuator.n_waiting,
                "n_dropped": 0 if actuator is None else actuator.n_dropped,
            }
        )
    for smu, worker in zip(parts.site.smus, parts.devices, strict=False):
        rows.append({"name": smu.name, "kind": "memristors", "n_waiting": worker.n_waiting})
    for chip in parts.site.chips:
        actuator = parts.actuators[chip.name]
        waiting = {"n_waiting": actuator.n_waiting, "n_dropped": actuator.n_dropped}
        rows.append({"name": chip.name, "kind": "neuron chip", **waiting})
    return rows


def _upkeep(parts: EngineParts) -> list[dict[str, Any]]:
    """Return what became of the newest upkeep, and what the amplifier holds if it was changed."""
    rows = []
    for name, upkeep in parts.upkeep.items():
        status = upkeep.status
        listed = {p.pattern_id: p for p in parts.file_patterns().get(name, ())}
        held = [
            {
                "pattern_id": pattern.pattern_id,
                "channels": list(pattern.channels),
                "is_in_file": _is_listed(pattern, listed.get(pattern.pattern_id)),
                **asdict(pattern.pulse),
            }
            for pattern in status.held
        ]
        is_changed = status.n_uploads > 0 or not all(p["is_in_file"] for p in held)
        rows.append(
            {
                "instrument": name,
                "job": status.job,
                "state": status.state,
                "sentence": status.sentence,
                "time_ns": status.time_ns or None,
                "measured_ns": status.measured_ns,
                "can_measure": upkeep.can_measure,
                "held": held if is_changed else [],
            }
        )
    return rows


def _is_listed(pattern: Pattern, listed: Pattern | None) -> bool:
    """Say whether a pattern is the site file's, in as many digits as a console types."""
    if listed is None or pattern.channels != listed.channels:
        return False
    pairs = zip(_figures(pattern), _figures(listed), strict=True)
    return all(math.isclose(a, b, rel_tol=1e-9) for a, b in pairs)


def _figures(pattern: Pattern) -> tuple[float, ...]:
    return astuple(pattern.pulse)


def _process() -> dict[str, Any]:
    """Return what this process has used: processor seconds and memory."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "max_memory_bytes": usage.ru_maxrss * 1024,
        "pid": os.getpid(),
    }


def _console(engine: Engine, parts: EngineParts) -> dict[str, Any] | None:
    """Return what showing costs, and whom it is shown."""
    server = engine.console
    if server is None:
        return None
    cost = server.cost
    return {
        "port": server.port,
        "attached": [
            {"number": c.number, "address": c.address, "operator": c.operator}
            for c in server.callers
        ],
        "n_watching": parts.feed.n_watchers,
        "n_frames": cost.n_frames,
        "mean_frame_ms": cost.total_ns / max(1, cost.n_frames) / 1e6,
        "worst_frame_ms": cost.worst_ns / 1e6,
    }
