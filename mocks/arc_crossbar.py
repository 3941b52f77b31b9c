"""The devices of a simulated ArC ONE: a crossbar of memristors and a record of what hit them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mocks.memristor import MemristorModel, bias_for_v, current_a
from mocks.memristor_noise import Memristor, NoiseSettings

OPEN_OHM = 1e9
"""What a reading finds where no device is."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """One pulse that was applied, in the time of the crossbar's clock."""

    w: int
    b: int
    v: float
    width_s: float
    time_ns: int


class Crossbar:
    """Devices at word lines 1..n and bit lines 1..n. Each draws from its own generator.

    A device exists when it is first looked at, and is the same whatever happened to others.
    """

    def __init__(
        self,
        model: MemristorModel,
        noise: NoiseSettings,
        seed: int,
        shape: tuple[int, int],
        default_ohm: float,
        initial_ohm: Mapping[tuple[int, int], float],
        clock_ns: Callable[[], int],
    ) -> None:
        self.pulses: list[Pulse] = []
        self.shape = shape
        self.default_ohm = default_ohm
        self._model = model
        self._noise = noise
        self._seed = seed
        self._initial_ohm = dict(initial_ohm)
        self._clock_ns = clock_ns
        self._devices: dict[tuple[int, int], Memristor] = {}
        for place in initial_ohm:
            if self._device(*place) is None:
                raise ValueError(
                    f"crossbar: no device at W{place[0]} B{place[1]}; "
                    f"there are {shape[0]} word lines and {shape[1]} bit lines"
                )

    @property
    def true_ohm(self) -> dict[tuple[int, int], float]:
        """Return the true resistances, at the reference voltage, of the devices looked at."""
        now_s = self._now_s()
        return {place: d.true_ohm(now_s) for place, d in sorted(self._devices.items())}

    @property
    def damaged(self) -> list[tuple[int, int]]:
        """Return the places of the damaged devices."""
        return sorted(place for place, d in self._devices.items() if d.is_damaged)

    def pulse(self, w: int, b: int, pulse_v: float, width_s: float, disturbed_part: float) -> None:
        """Apply a pulse to a device, and a part of its voltage to the others on its lines."""
        self.pulses.append(Pulse(w, b, pulse_v, width_s, self._clock_ns()))
        device = self._device(w, b)
        if device is None:
            return
        now_s = self._now_s()
        device.pulse(pulse_v, width_s, now_s)
        lowest_v = min(self._model.positive.threshold_v, self._model.negative.threshold_v)
        if not abs(pulse_v) * disturbed_part > lowest_v:
            return
        on_word = [(w, other) for other in range(1, self.shape[1] + 1) if other != b]
        on_bit = [(other, b) for other in range(1, self.shape[0] + 1) if other != w]
        for place in on_word + on_bit:
            neighbour = self._device(*place)
            if neighbour is not None:
                neighbour.pulse(pulse_v * disturbed_part, width_s, now_s)

    def read_ohm(self, w: int, b: int, read_v: float, n_cycles: int) -> float:
        """Return a noisy reading; nothing is there but air beyond the crossbar."""
        device = self._device(w, b)
        return OPEN_OHM if device is None else device.read_ohm(read_v, n_cycles, self._now_s())

    def limited_v(self, w: int, b: int, wanted_v: float, limit_a: float) -> float:
        """Return the voltage, lowered until the current is at the limit; limit 0 is none."""
        device = self._device(w, b)
        if device is None or limit_a == 0:
            return wanted_v
        ohm = device.true_ohm(self._now_s())
        if abs(current_a(self._model, ohm, wanted_v)) <= limit_a:
            return wanted_v
        return bias_for_v(self._model, ohm, limit_a if wanted_v > 0 else -limit_a)

    def _device(self, w: int, b: int) -> Memristor | None:
        if not (1 <= w <= self.shape[0] and 1 <= b <= self.shape[1]):
            return None
        if (w, b) not in self._devices:
            ohm = self._initial_ohm.get((w, b), self.default_ohm)
            rng = np.random.default_rng((self._seed, w, b))
            self._devices[w, b] = Memristor(self._model, ohm, self._noise, rng)
        return self._devices[w, b]

    def _now_s(self) -> float:
        return self._clock_ns() * 1e-9
