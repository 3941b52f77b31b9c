"""The 2020 packet and the driver of a chip that speaks it."""

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InstrumentProtocolError, SafetyLimitError, TransportError
from drivers.neuron.aer_udp.driver import AerUdp
from drivers.neuron.aer_udp.settings import AerUdpSettings
from drivers.neuron.aer_udp.wire import EventPacket, SenderCode, decode, encode
from drivers.permit import Action, DriveNeuron, Permit, Stimulate
from drivers.safe_state import SafeState

GOLDEN = [
    ("41 00 00 3f 00 00 07 d0", EventPacket(SenderCode.AXON, 63, 0, 2000)),
    ("44 00 01 00 00 00 00 64", EventPacket(SenderCode.DENDRITE, 256, 0, 100)),
    ("44 00 01 00 01 00 00 78", EventPacket(SenderCode.DENDRITE, 256, 1, 120)),
    ("53 00 01 00 80 00 4e 20", EventPacket(SenderCode.SYNAPSE, 256, 128, 20000)),
]
"""Section 2 of the notes on the founding experiment's hub program."""


@pytest.mark.parametrize(("text", "packet"), GOLDEN)
def test_golden_packets(text: str, packet: EventPacket) -> None:
    assert encode(packet) == bytes.fromhex(text)
    assert decode(bytes.fromhex(text)) == packet


@given(st.binary(max_size=12))
def test_any_bytes_are_a_packet_or_refused(data: bytes) -> None:
    try:
        packet = decode(data)
    except InstrumentProtocolError:
        return
    assert encode(packet) == data


@pytest.mark.parametrize("field", ["neuron", "aux", "n_ticks"])
@pytest.mark.parametrize("value", [-1, 1 << 24])
def test_value_outside_its_bits_is_refused(field: str, value: int) -> None:
    fields = {"sender": SenderCode.SYNAPSE, "neuron": 1, "aux": 1, "n_ticks": 1, field: value}
    with pytest.raises(InstrumentProtocolError, match=field):
        encode(EventPacket(**fields))


def settings_for(port: int, chip_port: int, neurons: tuple[int, ...]) -> AerUdpSettings:
    return AerUdpSettings(
        listen_host="127.0.0.1",
        listen_port=port,
        chip_host="127.0.0.1",
        chip_port=chip_port,
        neurons=neurons,
    )


class Rig:
    """The driver, and a socket in place of the chip's host."""

    def __init__(self) -> None:
        self.chip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.chip.bind(("127.0.0.1", 0))
        self.chip.settimeout(5)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.now_ns = 1_000_000_000
        chip_port = self.chip.getsockname()[1]
        settings = settings_for(port, chip_port, (63, 1))
        self.driver = AerUdp("chip1", settings, clock_ns=lambda: self.now_ns)
        self.address = ("127.0.0.1", port)

    def permit(self, action: Action, **kwargs: object) -> Permit:
        fields = {
            "instrument": "chip1", "action": action, "number": 7,
            "expires_ns": self.now_ns + 20_000_000, "is_tripped": lambda: False,
            "clock_ns": lambda: self.now_ns, **kwargs,
        }  # fmt: skip
        return Permit(**fields)

    def assert_nothing_sent(self) -> None:
        self.chip.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.chip.recv(100)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    made.driver.open()
    yield made
    made.driver.close()
    made.driver.close()
    made.chip.close()


def test_spikes_carry_the_hosts_receive_time(rig: Rig) -> None:
    for neuron in (63, 1, 63):
        rig.chip.sendto(encode(EventPacket(SenderCode.AXON, neuron, 0, 5)), rig.address)
    spikes = []
    while len(spikes) < 3:
        spikes += rig.driver.read_spikes(5.0)
    assert [s.neuron for s in spikes] == [63, 1, 63]
    assert {s.received_ns for s in spikes} == {rig.now_ns}
    assert not rig.driver.read_spikes(0.0)
    assert rig.driver.counters.n_spikes == 3


@pytest.mark.parametrize(
    ("data", "counter"),
    [
        (b"", "n_wrong_length"),
        (b"1234567", "n_wrong_length"),
        (b"123456789", "n_wrong_length"),
        (bytes(8), "n_wrong_sender"),
        (bytes.fromhex("53 00 00 3f 00 00 00 00"), "n_wrong_sender"),
        (bytes.fromhex("41 00 00 02 00 00 00 00"), "n_unknown_neuron"),
    ],
)
def test_foreign_datagram_is_counted_and_dropped(rig: Rig, data: bytes, counter: str) -> None:
    rig.chip.sendto(data, rig.address)
    rig.chip.sendto(encode(EventPacket(SenderCode.AXON, 63, 0, 0)), rig.address)
    spikes = []
    while not spikes:
        spikes = rig.driver.read_spikes(5.0)
    assert [s.neuron for s in spikes] == [63]
    assert getattr(rig.driver.counters, counter) == 1


def test_datagram_from_another_host_is_counted_and_dropped(rig: Rig) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.2", 0))
        stranger.sendto(encode(EventPacket(SenderCode.AXON, 63, 0, 0)), rig.address)
        assert not rig.driver.read_spikes(5.0)
    assert rig.driver.counters.n_wrong_address == 1


def test_drive_sends_one_packet_with_the_clock_since_open(rig: Rig) -> None:
    rig.now_ns += 1_000_000_000
    assert rig.driver.drive(rig.permit(DriveNeuron(1, 128))) == rig.now_ns
    assert rig.chip.recv(100) == bytes.fromhex("53 00 00 01 80 00 4e 20")
    rig.assert_nothing_sent()


@pytest.mark.parametrize(
    ("action", "kwargs"),
    [
        (DriveNeuron(2, 128), {}),
        (DriveNeuron(1, 256), {}),
        (DriveNeuron(1, -1), {}),
        (Stimulate(1), {}),
        (DriveNeuron(1, 1), {"instrument": "chip2"}),
        (DriveNeuron(1, 1), {"is_tripped": lambda: True}),
        (DriveNeuron(1, 1), {"expires_ns": 0}),
    ],
)
def test_what_is_not_permitted_sends_nothing(rig: Rig, action: Action, kwargs: dict) -> None:
    with pytest.raises(SafetyLimitError):
        rig.driver.drive(rig.permit(action, **kwargs))
    rig.assert_nothing_sent()


def test_permit_is_good_for_one_event(rig: Rig) -> None:
    permit = rig.permit(DriveNeuron(1, 1))
    rig.driver.drive(permit)
    with pytest.raises(SafetyLimitError, match="spent"):
        rig.driver.drive(permit)
    assert rig.chip.recv(100)
    rig.assert_nothing_sent()


def test_made_safe_drives_nothing_until_opened_again(rig: Rig) -> None:
    report = rig.driver.make_safe()
    assert report.state is SafeState.BY_CONSTRUCTION
    with pytest.raises(SafetyLimitError, match="make_safe"):
        rig.driver.drive(rig.permit(DriveNeuron(1, 1)))
    rig.assert_nothing_sent()
    rig.chip.sendto(encode(EventPacket(SenderCode.AXON, 63, 0, 0)), rig.address)
    rig.driver.open()
    rig.driver.drive(rig.permit(DriveNeuron(1, 1)))
    assert len(rig.driver.read_spikes(5.0)) == 1, "what arrived meanwhile is not lost"


def test_taken_address_and_closed_driver_are_named(rig: Rig) -> None:
    port = rig.address[1]
    other = AerUdp("other", settings_for(port, 1, (1,)), clock_ns=lambda: 0)
    with pytest.raises(TransportError, match="other"):
        other.open()
    with pytest.raises(TransportError, match="closed"):
        other.read_spikes(0.0)
