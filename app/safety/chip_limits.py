"""What a silicon neuron may receive: no harm is possible, a runaway loop is."""

from app.safety.dose import Dose
from app.safety.profiles import ChipProfile
from app.safety.rates import last_second
from app.safety.requests import Refusal, RefusalReason
from drivers.permit import Action, DriveNeuron


class ChipJudge:
    """Judges events for one chip. Not thread-safe."""

    def __init__(self, profile: ChipProfile) -> None:
        self.profile = profile
        self._seconds = {neuron: last_second() for neuron in profile.neurons}

    @property
    def refuses_simulated(self) -> bool:
        """Say False: simulated spikes harm no chip."""
        return False

    def describe(self, action: Action) -> str:
        """Return what would happen, in words."""
        if isinstance(action, DriveNeuron):
            return f"drive neuron {action.neuron} with weight code {action.weight_code}"
        return repr(action)

    def refuse_target(self, action: Action) -> Refusal | None:
        """Return why this instrument cannot do such an action at all, or None."""
        if isinstance(action, DriveNeuron) and action.neuron in self._seconds:
            return None
        return Refusal(
            RefusalReason.UNKNOWN_TARGET,
            f"{self.profile.name}: has no {action!r}, allowed are its neurons "
            f"{sorted(self._seconds)}; add the neuron to the site file",
        )

    def refuse(
        self, action: Action, *, is_spike_caused: bool, queue_length: int, now_ns: int
    ) -> Refusal | None:
        """Return why this event may not be sent now, or None. All causes are equal here."""
        event = self._event(action)
        who = f"{self.profile.name}, neuron {event.neuron}"
        if not (0 <= event.weight_code <= 255):
            return Refusal(
                RefusalReason.AMPLITUDE,
                f"{who}: weight code {event.weight_code}, allowed 0 to 255; "
                "change what made the weight",
            )
        n_then = self._seconds[event.neuron].total(now_ns) + 1
        if not (1 <= n_then <= self.profile.limits.max_per_second):
            return Refusal(
                RefusalReason.RATE,
                f"{who}: event {n_then} in a second, allowed "
                f"{self.profile.limits.max_per_second} (max_per_second); ask less often",
            )
        return None

    def count(self, action: Action, *, is_spike_caused: bool, now_ns: int) -> tuple[Dose, ...]:
        """Count a permitted event; a silicon neuron keeps no dose."""
        self._seconds[self._event(action).neuron].add(now_ns)
        return ()

    def count_past(self, target: str, time_ns: int, n_pulses: int, charge_fc: int) -> None:
        """Count nothing: what a silicon neuron received earlier does not matter."""

    def _event(self, action: Action) -> DriveNeuron:
        if not isinstance(action, DriveNeuron):
            raise TypeError(f"{self.profile.name}: {action!r} is not an event for a chip")
        return action
