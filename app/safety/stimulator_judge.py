"""How often an electrode and the culture may be stimulated: one amplifier's counters."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from app.core.spikes import Provenance
from app.safety.dose import Dose
from app.safety.electrode import FEMTO, Electrode, Meter, TriggerDose, dose_of
from app.safety.profiles import StimulatorProfile
from app.safety.quantity import amount
from app.safety.rates import last_second
from app.safety.requests import Refusal, RefusalReason
from app.safety.stimulation_limits import describe_pattern, judge_pattern
from drivers.mea.protocol import Pattern
from drivers.permit import Action, Stimulate


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What no trigger of a pattern changes: a judgement stands between a spike and its stimulus."""

    number: int
    pattern: Pattern
    words: str
    electrodes: tuple[tuple[str, Electrode], ...]
    """By channel."""
    refusal: Refusal | None
    """Why it is never permitted under the limits in force; then nothing below is looked at."""
    dose: TriggerDose
    duration_ns: int


class StimulatorJudge:
    """Judges requests to one amplifier; only what `count` is told enters the sums.

    One trigger counts once for the culture and once for each of its electrodes. Not thread-safe.
    """

    def __init__(self, profile: StimulatorProfile) -> None:
        self.profile = profile
        self._electrodes = {
            channel: Electrode()
            for pattern in profile.patterns.values()
            for channel in pattern.channels
        }
        self._culture_remote = last_second()
        self._min_interval_ns = round(profile.limits.min_interval_s * 1e9)
        self._prepared: dict[int, _Prepared] = {}
        self._meters: dict[tuple[int, bool], tuple[tuple[str, Meter], ...]] = {}
        """By pattern and whether a spike caused it: every sum that a trigger adds to, and whose."""
        for number, pattern in profile.patterns.items():
            self._take(number, pattern)

    def take_pattern(self, pattern: Pattern) -> None:
        """Judge by another waveform from now on: it was uploaded. Its electrodes are the same."""
        self._take(pattern.pattern_id, pattern)
        patterns = {number: prepared.pattern for number, prepared in self._prepared.items()}
        self.profile = replace(self.profile, patterns=patterns)

    def _take(self, number: int, pattern: Pattern) -> None:
        prepared = self._prepared[number] = self._prepare(number, pattern)
        for is_spike_caused in (False, True):
            meters = self._meters_of(prepared, is_spike_caused=is_spike_caused)
            self._meters[number, is_spike_caused] = tuple(meters)

    def _prepare(self, number: int, pattern: Pattern) -> _Prepared:
        name, limits = self.profile.name, self.profile.limits
        refusal = judge_pattern(name, pattern, limits, self.profile.electrode_area_um2)
        # A pulse that is refused may have numbers that are none.
        is_possible = refusal is None
        return _Prepared(
            number,
            pattern,
            describe_pattern(pattern, self.profile.electrode_area_um2),
            tuple((channel, self._electrodes[channel]) for channel in pattern.channels),
            refusal,
            dose_of(pattern.pulse) if is_possible else TriggerDose(0, 0, 0),
            round(pattern.pulse.duration_s * 1e9) if is_possible else 0,
        )

    @property
    def refuses_simulated(self) -> bool:
        """Say whether only real spikes may reach this culture."""
        return self.profile.provenance is Provenance.LIVE and not self.profile.accepts_simulated

    def describe(self, action: Action) -> str:
        """Return what would happen, in words."""
        if isinstance(action, Stimulate) and action.pattern_id in self._prepared:
            return self._prepared[action.pattern_id].words
        return repr(action)

    def refuse_target(self, action: Action) -> Refusal | None:
        """Return why this instrument cannot do such an action at all, or None."""
        if isinstance(action, Stimulate) and action.pattern_id in self._prepared:
            return None
        return Refusal(
            RefusalReason.UNKNOWN_TARGET,
            f"{self.profile.name}: has no {action!r}, allowed are its prepared patterns "
            f"{sorted(self._prepared)}; add the pattern to the site file",
        )

    def refuse(
        self, action: Action, *, is_spike_caused: bool, queue_length: int, now_ns: int
    ) -> Refusal | None:
        """Return why this pattern may not be triggered now, or None."""
        prepared = self._prepared_for(action)
        return (
            prepared.refusal
            or self._too_soon(prepared, now_ns)
            or self._too_many_at_once(prepared.pattern, now_ns)
            or self._too_much(prepared, now_ns, is_spike_caused=is_spike_caused)
            or self._too_long_a_queue(queue_length)
        )

    def count(self, action: Action, *, is_spike_caused: bool, now_ns: int) -> tuple[Dose, ...]:
        """Count a permitted trigger; return what it gives to each electrode."""
        prepared = self._prepared_for(action)
        dose, end_ns = prepared.dose, now_ns + prepared.duration_ns
        for _, electrode in prepared.electrodes:
            electrode.count(dose, end_ns, now_ns, is_spike_caused=is_spike_caused)
        if is_spike_caused:
            self._culture_remote.add(now_ns)
        return tuple(
            Dose(self.profile.name, channel, 1, dose.charge_fc / FEMTO)
            for channel, _ in prepared.electrodes
        )

    def count_past(self, target: str, time_ns: int, n_pulses: int, charge_fc: int) -> None:
        """Count what an electrode received in earlier sessions; unused ones do not matter."""
        if target in self._electrodes:
            self._electrodes[target].count_past(time_ns, n_pulses, charge_fc)

    def _prepared_for(self, action: Action) -> _Prepared:
        if not isinstance(action, Stimulate):
            raise TypeError(f"{self.profile.name}: {action!r} is not a stimulation")
        return self._prepared[action.pattern_id]

    def _too_soon(self, prepared: _Prepared, now_ns: int) -> Refusal | None:
        for channel, electrode in prepared.electrodes:
            if electrode.last_ns is None or electrode.busy_until_ns is None:
                continue
            next_ns = max(electrode.last_ns + self._min_interval_ns, electrode.busy_until_ns)
            if not (now_ns >= next_ns):
                return Refusal(
                    RefusalReason.INTERVAL,
                    f"{self.profile.name}, electrode {channel}: "
                    f"{amount((now_ns - electrode.last_ns) / 1e9, 's')} after the last trigger, "
                    f"allowed after {amount((next_ns - electrode.last_ns) / 1e9, 's')} "
                    "(min_interval_s, or its train's end); ask less often",
                )
        return None

    def _too_many_at_once(self, pattern: Pattern, now_ns: int) -> Refusal | None:
        n_busy = sum(
            electrode.busy_until_ns is not None and now_ns < electrode.busy_until_ns
            for electrode in self._electrodes.values()
        )
        limit = self.profile.limits.max_electrodes_at_once
        n_then = n_busy + len(pattern.channels)
        if not (1 <= n_then <= limit):
            return Refusal(
                RefusalReason.N_ELECTRODES,
                f"{self.profile.name}, pattern {pattern.pattern_id}: {n_then} electrodes would "
                f"carry current at once, allowed {limit} (max_electrodes_at_once); "
                "wait for the others",
            )
        return None

    def _too_much(
        self, prepared: _Prepared, now_ns: int, *, is_spike_caused: bool
    ) -> Refusal | None:
        for who, meter in self._meters[prepared.number, is_spike_caused]:
            then = meter.total.total(now_ns) + meter.added
            if not (0 <= then <= meter.limit):
                return Refusal(
                    meter.reason,
                    f"{who}: {_said(meter, then)} in {_WINDOWS[meter.reason]}, allowed "
                    f"{_said(meter, meter.limit)} ({meter.field}); ask less often",
                )
        return None

    def _meters_of(
        self, prepared: _Prepared, *, is_spike_caused: bool
    ) -> Iterator[tuple[str, Meter]]:
        limits = self.profile.limits
        name = self.profile.name
        for channel, electrode in prepared.electrodes:
            for meter in electrode.meters(prepared.dose, limits, is_spike_caused=is_spike_caused):
                yield f"{name}, electrode {channel}", meter
        if is_spike_caused:
            field = "max_culture_remote_per_second"
            reason = RefusalReason.CULTURE_RATE
            limit = limits.max_culture_remote_per_second
            yield name, Meter(self._culture_remote, 1, limit, "", 1.0, reason, field)

    def _too_long_a_queue(self, queue_length: int) -> Refusal | None:
        limit = self.profile.limits.max_queue
        if not (0 <= queue_length <= limit):
            return Refusal(
                RefusalReason.QUEUE,
                f"{self.profile.name}: {queue_length} requests wait, allowed {limit} (max_queue); "
                "ask less often",
            )
        return None


def _said(meter: Meter, value: int) -> str:
    return amount(value * meter.scale, meter.unit) if meter.unit else f"{value} triggers"


_WINDOWS = {
    RefusalReason.RATE: "a second",
    RefusalReason.REMOTE_RATE: "a second from spikes",
    RefusalReason.CULTURE_RATE: "a second from spikes",
    RefusalReason.DUTY: "a second",
    RefusalReason.RESIDUAL: "10 s",
    RefusalReason.HOUR_DOSE: "an hour",
    RefusalReason.DAY_DOSE: "a day",
}
