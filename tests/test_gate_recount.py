"""Every limit counted anew, from nothing but what was permitted when; and that this can fail."""

import math
from itertools import pairwise
from typing import NamedTuple

import pytest

from app.config.limits import ChipLimits, DeviceLimits, StimulationLimits
from drivers.permit import Action, DriveNeuron, PulseDevice, Stimulate
from drivers.smu.protocol import DeviceAddress
from tests.test_gate_rig import DEVICE, MS, SECOND

OTHER = DeviceAddress(1, 1)
STIMULATION = StimulationLimits(
    max_per_second=5,
    max_remote_per_second=3,
    max_culture_remote_per_second=4,
    max_triggers_per_hour=9,
)
DEVICES = DeviceLimits(max_per_second=3, budget_pulses=6)
CHIP = ChipLimits(max_per_second=4)
CHANNELS = {1: ("A-000",), 2: ("A-001", "A-002"), 3: ("A-003", "A-004", "A-005")}
BUSY_NS = 400_000


class Granted(NamedTuple):
    """One permit, as the recount knows it."""

    time_ns: int
    action: Action
    is_remote: bool


def most_in(window_ns: int, times_ns: list[int]) -> int:
    """Return the largest number of times in any window that is open at its older end."""
    ends = [sum(end - window_ns < t <= end for t in times_ns) for end in times_ns]
    return max(ends, default=0)


def shortest(times_ns: list[int]) -> float:
    return min((b - a for a, b in pairwise(times_ns)), default=math.inf)


def recount(granted: list[Granted]) -> None:
    """Count every limit anew, from nothing but what was permitted when."""
    stimuli = [g for g in granted if isinstance(g.action, Stimulate)]
    for channel in {c for channels in CHANNELS.values() for c in channels}:
        here = [g for g in stimuli if channel in CHANNELS[g.action.pattern_id]]
        times_ns = [g.time_ns for g in here]
        assert most_in(SECOND, times_ns) <= STIMULATION.max_per_second
        assert most_in(3600 * SECOND, times_ns) <= STIMULATION.max_triggers_per_hour
        assert shortest(times_ns) >= 5 * MS
        remote_ns = [g.time_ns for g in here if g.is_remote]
        assert most_in(SECOND, remote_ns) <= STIMULATION.max_remote_per_second
    remote_ns = [g.time_ns for g in stimuli if g.is_remote]
    assert most_in(SECOND, remote_ns) <= STIMULATION.max_culture_remote_per_second
    current = [g.time_ns for g in stimuli for _ in CHANNELS[g.action.pattern_id]]
    assert most_in(BUSY_NS, current) <= STIMULATION.max_electrodes_at_once
    recount_devices([g for g in granted if isinstance(g.action, PulseDevice)])
    for neuron in (7, 8):
        events = [g for g in granted if isinstance(g.action, DriveNeuron)]
        times_ns = [g.time_ns for g in events if g.action.neuron == neuron]
        assert most_in(SECOND, times_ns) <= CHIP.max_per_second
    assert all(0 <= g.action.weight_code <= 255 for g in granted if type(g.action) is DriveNeuron)


def recount_devices(pulses: list[Granted]) -> None:
    for device in {DeviceAddress(g.action.wordline, g.action.bitline) for g in pulses}:
        assert device in (DEVICE, OTHER)
        here = [g for g in pulses if DeviceAddress(g.action.wordline, g.action.bitline) == device]
        times_ns = [g.time_ns for g in here]
        assert most_in(SECOND, times_ns) <= DEVICES.max_per_second
        assert shortest(times_ns) >= MS
        assert len(here) <= DEVICES.budget_pulses
    for pulse in pulses:
        assert 0 < abs(pulse.action.amplitude_v) <= DEVICES.max_amplitude_v
        assert DEVICES.min_width_s <= pulse.action.width_s <= DEVICES.max_width_s


def granted(action, *times_ns, is_remote=False):
    return [Granted(time_ns, action, is_remote) for time_ns in times_ns]


def pulse(amplitude_v=1.0, width_s=1e-6, device=DEVICE):
    return PulseDevice(device.wordline, device.bitline, amplitude_v, width_s)


def every(step_ns, n):
    return [step_ns * i for i in range(n)]


GOOD = [
    granted(Stimulate(1), *every(200 * MS, 9)),
    granted(Stimulate(1), *every(SECOND // 3 + 1, 9), is_remote=True),
    granted(Stimulate(1), 0) + granted(Stimulate(3), 0),
    granted(pulse(), *every(SECOND // 3 + 1, 6)),
    granted(DriveNeuron(7, 255), 0, 0, 0, 0),
]
BAD = [
    granted(Stimulate(1), *every(200 * MS - 1, 6)),
    granted(Stimulate(1), *every(200 * MS, 10)),
    granted(Stimulate(1), 0, 5 * MS - 1),
    granted(Stimulate(1), *every(SECOND // 3, 4), is_remote=True),
    granted(Stimulate(1), 0, 9 * MS, is_remote=True)
    + granted(Stimulate(2), 20 * MS, 30 * MS, is_remote=True)
    + granted(Stimulate(3), 40 * MS, is_remote=True),
    granted(Stimulate(2), 0) + granted(Stimulate(3), BUSY_NS - 1),
    granted(pulse(), *every(SECOND // 3, 4)),
    granted(pulse(), *every(SECOND, 7)),
    granted(pulse(), 0, MS - 1),
    granted(pulse(1.6), 0),
    granted(pulse(math.nan), 0),
    granted(pulse(width_s=math.nan), 0),
    granted(pulse(device=DeviceAddress(9, 9)), 0),
    granted(DriveNeuron(7, 1), 0, 0, 0, 0, 0),
    granted(DriveNeuron(7, 256), 0),
]


@pytest.mark.parametrize("permits", GOOD)
def test_what_was_within_every_limit_passes(permits):
    recount(permits)


@pytest.mark.parametrize("permits", BAD)
def test_what_was_beyond_one_limit_is_found(permits):
    with pytest.raises(AssertionError):
        recount(permits)
