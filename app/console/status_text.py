"""An engine's status in words, for a terminal."""

from collections.abc import Mapping
from typing import Any

from app.bridge.expiry import expiry_warning

WARN_BUDGET = 0.8
"""A device that has spent this part of its budget is shown."""


def status_lines(status: Mapping[str, Any]) -> list[str]:
    """Return the status as lines of text, the most important first."""
    gate = status["gate"]
    lines = [
        f"site {status['site']}: {gate['state'].upper()} ({gate['reason']})"
        + (f" by {gate['who']}" if gate["who"] else ""),
        f"session code {status['session_code']}",
        f"experiment {status['experiment_hash'][:12] or 'none'}",
        f"session {status['session_folder']}",
    ]
    if gate["expires_ns"] is not None:
        left_min = (gate["expires_ns"] - status["now_ns"]) / 60e9
        lines.insert(1, f"the arming ends in {left_min:.0f} min")
    if status["is_dry_run"]:
        lines.insert(1, "DRY RUN: everything is judged and recorded, nothing moves")
    if status["failure"]:
        lines.insert(0, f"FAILED: {status['failure']}")
    lines += [f"arming blocked: {sentence}" for sentence in gate["blocks"].values()]
    if gate["last_refusal"]:
        n_refusals = sum(gate["n_refusals"].values())
        lines.append(f"{n_refusals} refused, the last: {gate['last_refusal']}")
    lines += [
        f"frozen: device {f['device']}, direction {f['direction']:+d}: {f['reason']}"
        for f in gate["frozen"]
    ]
    lines += _budget_lines(gate)
    lines += _safe_lines(status) if gate["state"] == "tripped" else []
    lines += certificate_lines(status)
    lines += [_link_line(link) for link in status["links"]]
    lines += [_synapse_line(synapse) for synapse in status["synapses"]]
    if status["amplifier"] is not None:
        amplifier = status["amplifier"]
        lines.append(
            f"amplifier: {amplifier['n_samples']} samples, {amplifier['n_lost']} lost in "
            f"{amplifier['n_gaps']} gaps, {amplifier['n_spikes']} spikes, "
            f"{amplifier['n_stimuli']} stimuli seen"
        )
        lines += channel_lines(amplifier.get("channels", {}))
    lines += _late_check_lines(status["late_checks"])
    lines += [
        f"procedure {p['number']} on {p['unit']}, started by {p['who']}: {p['done']} of "
        f"{p['total']}, {p['text']}"
        for p in status.get("procedures", [])
    ]
    if status["protocol"] is not None:
        protocol = status["protocol"]
        lines.append(f"protocol: {protocol['state']}, phase {protocol['phase_name'] or '-'}")
    return lines


def _late_check_lines(late: Mapping[str, Any] | None) -> list[str]:
    if late is None or late["state"] == "done":
        return []
    how = {
        "waits": "wait until nothing is recorded",
        "runs": "are being made",
        "failed": f"FAILED: {late['detail']}",
    }
    return [
        f"checksums of earlier sessions {how[late['state']]}: {late['n_files']} files, "
        f"{late['n_bytes'] / 1e9:.1f} GB in {late['n_sessions']} sessions"
    ]


def _budget_lines(gate: Mapping[str, Any]) -> list[str]:
    return [
        f"device {b['device']}: {b['n_pulses']} of {b['budget_pulses']} pulses of its life spent"
        for b in gate["budgets"]
        if b["n_pulses"] >= WARN_BUDGET * b["budget_pulses"]
    ]


def _safe_lines(status: Mapping[str, Any]) -> list[str]:
    return [
        f"{'NOT SAFE: ' if r['state'] == 'failed' else ''}{r['instrument']}: {r['state']} "
        f"({r['detail']})"
        for r in status["safe_reports"]
    ]


def _link_line(link: Mapping[str, Any]) -> str:
    why = f" ({link['reason']})" if link["state"] != "up" and link["reason"] else ""
    return (
        f"link {link['site']}: {link['state']}{why}{_clock_words(link)}, "
        f"{link['n_events_sent']} events sent, "
        f"{link['n_events_received']} received, {link['n_events_lost']} of ours lost, "
        f"{link['n_frames_lost']} of its frames declared missing, "
        f"{link['n_events_refused']} events refused, {link['n_resent']} frames resent"
    )


def _clock_words(link: Mapping[str, Any]) -> str:
    is_heard = link["state"] in ("up", "suspect")
    if not is_heard or link["rtt_ns"] is None or link["offset_ns"] is None:
        return ""
    return (
        f", round trip {link['rtt_ns'] / 1e6:.2f} ms, its clock {link['offset_ns'] / 1e6:+.2f} "
        f"+- {link['uncertainty_ns'] / 1e6:.2f} ms"
    )


def certificate_lines(status: Mapping[str, Any]) -> list[str]:
    """Return what is to be said about certificates that end soon, or have ended."""
    ends = {"our own certificate": status.get("certificate_days_left")} | {
        f"the certificate of {link['site']}": link.get("certificate_days_left")
        for link in status["links"]
    }
    warnings = [expiry_warning(what, days) for what, days in ends.items() if days is not None]
    return [warning for warning in warnings if warning]


def _synapse_line(synapse: Mapping[str, Any]) -> str:
    resistance = synapse["resistance_ohm"]
    known = "not read" if resistance is None else f"{resistance / 1e3:.2f} kOhm"
    weight = "-" if synapse["weight"] is None else f"{synapse['weight']:.2f}"
    holding = ", rule holds" if synapse["is_holding"] else ""
    return f"synapse {synapse['name']}: {known}, weight {weight}{holding}"


def channel_lines(counts: Mapping[str, int]) -> list[str]:
    """Return a line on channels that are not heard, if there are any."""
    words = {
        "n_dead": "dead (noise below the floor)",
        "n_saturated": "saturated",
        "n_suspended": "suspended (too many events)",
    }
    told = [f"{counts[key]} {word}" for key, word in words.items() if counts.get(key)]
    return [f"channels: {', '.join(told)}"] if told else []
