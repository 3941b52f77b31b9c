"""From what an instrument did to the points that are kept of it."""

from dataclasses import dataclass

from app.core.measured import Point
from app.synapse.verify import PulseVerdict
from drivers.permit import PulseDevice
from drivers.smu.protocol import PulseOutcome, Reading


@dataclass(frozen=True, slots=True)
class Write:
    """One pulse and what it did: before, after, expected direction, verdict."""

    action: PulseDevice
    direction: int
    """UP or DOWN: where the resistance was expected to go."""
    before_ohm: float | None
    after_ohm: float | None
    verdict: PulseVerdict
    detail: str
    outcome: PulseOutcome


def of_reading(reading: Reading, name: str, tag: str) -> Point:
    """Return a reading as a point."""
    return Point(
        time_ns=reading.time_ns,
        wordline=reading.device.wordline,
        bitline=reading.device.bitline,
        device=name,
        tag=tag,
        resistance_ohm=reading.resistance_ohm,
        read_voltage_v=reading.read_voltage_v,
        amplitude_v=reading.read_voltage_v,
        width_s=0.0,
        is_limited=reading.is_limited,
    )


def of_pulse(write: Write, name: str, tag: str, read_voltage_v: float) -> Point:
    """Return a pulse and what it did as a point."""
    outcome = write.outcome
    return Point(
        time_ns=outcome.sent_ns,
        wordline=write.action.wordline,
        bitline=write.action.bitline,
        device=name,
        tag=tag,
        resistance_ohm=write.after_ohm,
        read_voltage_v=read_voltage_v,
        amplitude_v=write.action.amplitude_v,
        width_s=write.action.width_s,
        before_ohm=write.before_ohm,
        pulse_v=outcome.pulse_v,
        current_a=outcome.pulse_a,
        is_limited=outcome.is_limited,
        verdict=str(write.verdict),
        detail=write.detail,
    )


def of_staircase(
    outcome: PulseOutcome,
    name: str,
    step_s: float,
    after_ohm: float | None,
    read_voltage_v: float,
) -> list[Point]:
    """Return a staircase's steps as points; only after the last one the device was read."""
    last = len(outcome.steps) - 1
    return [
        Point(
            time_ns=outcome.sent_ns + round((k + 1) * step_s * 1e9),
            wordline=outcome.device.wordline,
            bitline=outcome.device.bitline,
            device=name,
            tag="CT",
            resistance_ohm=after_ohm if k == last else None,
            read_voltage_v=read_voltage_v,
            amplitude_v=step.voltage_v,
            width_s=step_s,
            pulse_v=step.voltage_v,
            current_a=step.current_a,
            is_limited=step.is_limited,
            detail="staircase",
        )
        for k, step in enumerate(outcome.steps)
    ]
