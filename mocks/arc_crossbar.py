"""The devices of a simulated ArC ONE: a crossbar of memristors and a record of what hit them."""

from collections import deque
from collections.abc import Callable, Mapping
from itertools import product
from typing import NamedTuple

import numpy as np

from mocks.memristor import MemristorModel, bias_for_v, current_a
from mocks.memristor_noise import Memristor, NoiseSettings
from mocks.memristor_scatter import NO_SCATTER, Scatter, scattered

LOWEST_OHM = 10.0
"""Less cannot be asked for."""
OPEN_OHM = 1e9
"""What a reading finds where no device is."""


MAX_PULSES = 100_000
"""So many of the last pulses are remembered."""


class Pulse(NamedTuple):
    """One pulse that was applied, at a time of the crossbar's clock.

    Resistances are true ones at the reference voltage; where no device is, `OPEN_OHM`.
    """

    wordline: int
    bitline: int
    amplitude_v: float
    width_s: float
    time_ns: int
    before_ohm: float
    after_ohm: float


class Crossbar:
    """Devices at word lines 1..n and bit lines 1..n. Each draws from its own generator.

    A device exists when it is first looked at, and is the same whatever happened to others. One
    whose first resistance is given has the model's own constants; others scatter. Raises
    ValueError if a place does not exist.
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
        scatter: Scatter = NO_SCATTER,
    ) -> None:
        self.n_pulses = 0
        self.pulses: deque[Pulse] = deque(maxlen=MAX_PULSES)
        self.shape = shape
        self.default_ohm = default_ohm
        self._model = model
        self._noise = noise
        self._scatter = scatter
        self._seed = seed
        self._initial_ohm = dict(initial_ohm)
        self._clock_ns = clock_ns
        self._devices: dict[tuple[int, int], Memristor] = {}
        for w, b in initial_ohm:
            if self._device(w, b) is None:
                raise ValueError(
                    f"crossbar: no device at W{w} B{b}; "
                    f"there are {shape[0]} word lines and {shape[1]} bit lines"
                )

    def true_ohm(self, w: int, b: int) -> float:
        """Return the true resistance at the reference voltage; `OPEN_OHM` without a device."""
        device = self._device(w, b)
        return OPEN_OHM if device is None else device.true_ohm(self._now_s())

    @property
    def places(self) -> list[tuple[int, int]]:
        """Return the places of all devices, word line first."""
        n_wordlines, n_bitlines = self.shape
        return list(product(range(1, n_wordlines + 1), range(1, n_bitlines + 1)))

    @property
    def damaged(self) -> list[tuple[int, int]]:
        """Return the places of the damaged devices."""
        return sorted(place for place, d in self._devices.items() if d.is_damaged)

    def pulse(self, w: int, b: int, pulse_v: float, width_s: float, disturbed_part: float) -> None:
        """Apply a pulse to a device, and a part of its voltage to the others on its lines."""
        time_ns, before_ohm = self._clock_ns(), self.true_ohm(w, b)
        device = self._device(w, b)
        if device is not None:
            device.pulse(pulse_v, width_s, time_ns * 1e-9)
            self._disturb(w, b, pulse_v * disturbed_part, width_s)
        after_ohm = OPEN_OHM if device is None else device.true_ohm(time_ns * 1e-9)
        self.n_pulses += 1
        self.pulses.append(Pulse(w, b, pulse_v, width_s, time_ns, before_ohm, after_ohm))

    def _disturb(self, w: int, b: int, pulse_v: float, width_s: float) -> None:
        if pulse_v == 0:
            return
        on_word = [(w, other) for other in range(1, self.shape[1] + 1) if other != b]
        on_bit = [(other, b) for other in range(1, self.shape[0] + 1) if other != w]
        for place in on_word + on_bit:
            neighbour = self._device(*place)
            if neighbour is not None:
                neighbour.pulse(pulse_v, width_s, self._now_s())

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
            rng = np.random.default_rng((self._seed, w, b))
            if (w, b) in self._initial_ohm:
                model, ohm = self._model, self._initial_ohm[w, b]
            else:
                model, ohm = scattered(self._model, self.default_ohm, self._scatter, rng)
            self._devices[w, b] = Memristor(model, ohm, self._noise, rng)
        return self._devices[w, b]

    def _now_s(self) -> float:
        return self._clock_ns() * 1e-9
