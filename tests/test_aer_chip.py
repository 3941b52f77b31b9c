"""The mock neuron chip: 8-byte packets over real UDP, and a process that is cheap."""

import select
import socket
import time
from pathlib import Path

import pytest
from aer_chip_rig import (
    DRIVE_1_STRONG,
    DRIVE_1_WEAK,
    DRIVE_2_STRONG,
    DRIVE_63,
    LIMIT_S,
    SPIKE_1,
    SPIKE_63,
    hub_socket,
    running,
)

from mocks.aer_runtime import AerChip
from mocks.event_loop import EventLoop
from mocks.faults import FaultPlan


@pytest.fixture(scope="module")
def chip():
    with running() as one:
        yield one


@pytest.fixture
def before(chip):
    while not chip.is_silent_for(0.03):
        chip.receive()
    return chip.ask("status")


def test_a_relay_fires_once_for_each_drive(chip, before):
    for _ in range(20):
        chip.send(DRIVE_63)
        packet = chip.receive()
        assert (len(packet), packet[:4], packet[4]) == (8, SPIKE_63, 0)
    assert chip.is_silent_for(0.05)
    after = chip.ask("status")
    assert after["n_spikes"] - before["n_spikes"] == after["n_drives"] - before["n_drives"] == 20


def test_a_relay_does_not_wait_for_what_another_neuron_has_to_catch_up_with(chip, before):
    """The quickest of five says it: a busy machine may delay any of them, but hurries none."""
    for _ in range(5):
        chip.send(DRIVE_1_STRONG)
        assert chip.receive()[:4] == SPIKE_1
        assert chip.is_silent_for(0.1)
        chip.send(DRIVE_1_WEAK, DRIVE_63)
        assert chip.receive()[:4] == SPIKE_63
        assert chip.is_silent_for(0.05)
    spikes = chip.ask("spikes", skip=before["n_spikes"])["spikes"]
    drives = chip.ask("drives", skip=before["n_drives"])["drives"]
    weak_ns = [d["time_ns"] for d in drives if d["weight_code"] == 0x3C]
    relay_ns = [s["time_ns"] for s in spikes if s["neuron"] == 63]
    delays_ns = [s - w for s, w in zip(relay_ns, weak_ns, strict=True)]
    assert 0 < min(delays_ns) < 5e6


def test_the_time_field_is_the_time_since_the_previous_spike_in_50_us_ticks(chip, before):
    chip.send(DRIVE_63)
    chip.receive()
    ticks = []
    for pause_s in (0.003, 0.07, 0.011, 0.02):
        assert chip.is_silent_for(pause_s)
        chip.send(DRIVE_63)
        ticks.append(int.from_bytes(chip.receive()[5:]))
    assert all(n >= least for n, least in zip(ticks, (60, 1400, 220, 400), strict=True))
    spikes = chip.ask("spikes", skip=before["n_spikes"])["spikes"]
    span_ticks = (spikes[-1]["time_ns"] - spikes[0]["time_ns"]) / 50_000
    assert abs(sum(ticks) - span_ticks) <= 1  # the sum is the hub's clock: no drift


def test_the_first_spike_of_a_chip_has_no_previous_one():
    with running() as chip:
        chip.send(DRIVE_63)
        assert chip.receive().hex() == "4100003f00000000"


def test_an_adex_neuron_fires_a_few_milliseconds_after_a_strong_event(chip, before):
    for _ in range(3):
        chip.send(DRIVE_1_STRONG)
        assert chip.receive()[:4] == SPIKE_1
        assert chip.is_silent_for(0.1)
    spikes = chip.ask("spikes", skip=before["n_spikes"])["spikes"]
    drives = chip.ask("drives", skip=before["n_drives"])["drives"]
    assert [(d["neuron"], d["weight_code"]) for d in drives] == [(1, 200)] * 3
    delays_s = [(s["time_ns"] - d["time_ns"]) * 1e-9 for s, d in zip(spikes, drives, strict=True)]
    assert all(1e-3 < delay_s < 20e-3 for delay_s in delays_s)


def test_an_adex_neuron_does_not_fire_for_a_weak_event(chip, before):
    for _ in range(3):
        chip.send(DRIVE_1_WEAK)
        assert chip.is_silent_for(0.1)
    assert chip.ask("status")["n_drives"] - before["n_drives"] == 3


def test_a_spike_that_is_due_when_the_next_event_comes_is_not_lost():
    now_ns = [10**9]
    loop = EventLoop(lambda: now_ns[0])
    with hub_socket() as hub:
        address = ("127.0.0.1", 0)
        options = {"relays": (63,), "adex": (1,), "seed": 3, "faults": FaultPlan()}
        chip = AerChip(loop, address, hub.getsockname(), **options)
        loop.call_after_s(0.0, lambda: chip._take(DRIVE_1_STRONG))
        loop.call_after_s(0.0, lambda: now_ns.__setitem__(0, now_ns[0] + 20_000_000))
        loop.call_after_s(0.0, lambda: chip._take(DRIVE_1_WEAK))
        loop.call_after_s(0.0, loop.stop)
        loop.run()
        chip.close()
        assert hub.recv(100)[:4] == SPIKE_1
    assert [(s.neuron, s.time_ns) for s in chip.spikes] == [(1, 1_020_000_000)]


def test_weak_events_that_come_together_add_up(chip, before):
    chip.send(*[DRIVE_1_WEAK] * 4)
    assert chip.receive()[:4] == SPIKE_1


def test_overwhelming_events_make_a_burst():
    with running() as chip:
        chip.send(*[DRIVE_1_STRONG] * 4)
        assert [chip.receive()[:4] for _ in range(3)] == [SPIKE_1] * 3


def test_neurons_of_the_chip_do_not_hear_each_other(chip, before):
    chip.send(DRIVE_1_STRONG)
    chip.receive()
    chip.send(DRIVE_2_STRONG)
    assert chip.receive()[:4].hex() == "41000002"
    assert chip.is_silent_for(0.05)


@pytest.mark.parametrize(
    "packet", ["", "53", "5300003f80004e", "5300003f80004e2000", "53" * 1400, "4100003f00000000"]
)
def test_what_is_no_drive_packet_is_counted_and_nothing_else(chip, before, packet):
    chip.send(bytes.fromhex(packet))
    after = chip.status_when(n_malformed=before["n_malformed"] + 1)
    assert after["n_spikes"] == before["n_spikes"]
    assert after["n_drives"] == before["n_drives"]
    chip.send(DRIVE_63)
    assert chip.receive()[:4] == SPIKE_63


def test_a_drive_for_another_chips_neuron_is_counted(chip, before):
    chip.send(bytes.fromhex("530001008000004e"))
    assert chip.status_when(n_unknown=before["n_unknown"] + 1)["n_drives"] == before["n_drives"]


def test_a_hub_that_does_not_listen_yet_is_no_reason_to_end():
    reserved = hub_socket()
    port = reserved.getsockname()[1]
    with running(hub=reserved) as chip:
        reserved.close()
        chip.hub = hub_socket()
        chip.send(DRIVE_63, DRIVE_63, DRIVE_63)
        assert chip.status_when(n_spikes=3)["n_send_errors"] >= 0
        chip.hub.close()
        chip.hub = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        chip.hub.settimeout(LIMIT_S)
        chip.hub.bind(("127.0.0.1", port))
        chip.send(DRIVE_63)
        assert chip.receive()[:4] == SPIKE_63


def test_an_address_that_cannot_be_sent_to_is_counted():
    with running("--hub", "255.255.255.255:9") as chip:  # broadcast is forbidden: EACCES
        chip.send(DRIVE_63, DRIVE_63)
        assert chip.status_when(n_spikes=2)["n_send_errors"] == 2


def cpu_ns(process):
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0])


def test_fifty_packets_a_second_take_less_than_a_tenth_of_a_core():
    with running() as chip:
        chip.status_when(n_drives=0)
        before_ns, started_s = cpu_ns(chip.process), time.monotonic()
        for n in range(1, 76):
            chip.send(DRIVE_63 if n % 2 else DRIVE_1_STRONG)
            while (left_s := started_s + n / 50 - time.monotonic()) > 0:
                if select.select([chip.hub], [], [], left_s)[0]:
                    chip.receive()
        used_ns = cpu_ns(chip.process) - before_ns
        assert used_ns * 1e-9 < 0.1 * (time.monotonic() - started_s)
        assert chip.ask("status")["n_drives"] == 75


def test_at_rest_it_does_nothing_at_all():
    with running() as chip:
        chip.send(DRIVE_1_STRONG)
        chip.receive()
        assert chip.is_silent_for(0.05)
        before_ns = cpu_ns(chip.process)
        assert chip.is_silent_for(0.3)
        assert cpu_ns(chip.process) == before_ns
