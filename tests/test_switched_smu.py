"""A bench unit with a switching matrix: one array, never switched under voltage."""

import pytest
from bench_smu_rig import DIALECTS
from switch_rig import BITLINES, FIRST, OHM, OTHER, WORDLINES, SwitchedRig

from drivers.errors import (
    InstrumentError,
    InstrumentProtocolError,
    InstrumentRefusedError,
    SafetyLimitError,
)
from drivers.permit import PulseDevice
from drivers.safe_state import SafeState
from drivers.smu.bench.route import SwitchedArray
from drivers.smu.protocol import DeviceAddress
from drivers.switch.keithley_707b import wire
from drivers.switch.keithley_707b.driver import Keithley707B

WORDS = ("source.output = 0", 'channel.open("allslots")', "channel.close(", "source.output = 1")
ORDER = [
    ("unit", "source.output = 0"),
    ("switch", 'channel.open("allslots")'),
    ("switch", "channel.close("),
    ("unit", "source.output = 1"),
]


class TestWords:
    """Printed in the 707B manual, 707B-901-01: literally these answers."""

    def test_one_closed_channel_and_two(self):
        # Rev. A p. 7-27, channel.getclose(), example 1
        assert wire.parse_closed(("1A01",)) == {"1A01"}
        assert wire.parse_closed(("1A01;1C03",)) == {"1A01", "1C03"}

    def test_a_longer_list(self):
        # Rev. B p. 7-17, channel.close(), example
        text = "1A01;1A02;1A03;1A04;1A05;1B02;1B04;1B06;1C03"
        assert wire.parse_closed((text,)) == set(text.split(";"))

    def test_none(self):
        # Rev. A p. 7-27: "If nothing is closed ... a nil response is returned."
        assert wire.parse_closed(("nil",)) == frozenset()

    @pytest.mark.parametrize("text", ["", "1A01,1C03", "1A1", "nil;1A01", "7A01", "1I01", "0"])
    def test_anything_else_is_refused(self, text):
        with pytest.raises(InstrumentProtocolError, match="no list of channels"):
            wire.parse_closed((text,))


def test_mock_answers_as_the_manual_s_examples():
    """707B-901-01 Rev. A p. 7-27 (examples 1 and 2) and Rev. B p. 7-17, typed in as printed."""
    instrument = SwitchedRig().switch_wire.instrument
    ask = lambda line: instrument.handle(line)[0]  # noqa: E731
    ask('channelList = "1A01:1H12"')
    ask('channel.close("1A01")')
    assert ask("print(channel.getclose(channelList))") == "1A01"
    ask('channel.close("1C03")')
    assert ask("print(channel.getclose(channelList))") == "1A01;1C03"
    ask('channel.open("allslots")')
    assert ask('print(channel.getclose("allslots"))') == "nil"
    ask('channel.close("1B03:1B05")')
    assert ask('print(channel.getclose("allslots"))') == "1B03;1B04;1B05"
    ask('channel.exclusiveclose("1A01:1A05, 1C03")')
    assert ask('print(channel.getclose("slot1"))') == "1A01;1A02;1A03;1A04;1A05;1C03"
    ask('channel.close("1A06, allslots")')  # an error, and nothing of it is done
    assert ask("print(errorqueue.count)") == "1.00000e+00"
    assert "1A06" not in ask('print(channel.getclose("slot1"))')


@pytest.mark.parametrize("unit", DIALECTS)
class TestEveryUnit:
    def test_reads_each_device_of_the_array(self, unit):
        rig = SwitchedRig(unit)
        rig.driver.open()
        for (w, b), ohm in OHM.items():
            reading = rig.driver.read(DeviceAddress(w, b))
            assert reading.resistance_ohm == pytest.approx(ohm, rel=1e-3)
            assert reading.device == DeviceAddress(w, b)
            assert rig.terminals.closed == {WORDLINES[w - 1], BITLINES[b - 1]}
        assert rig.driver.counters.n_switched == len(OHM)
        assert rig.terminals.n_hot == 0

    def test_pulses_the_device_that_was_asked_for(self, unit):
        rig = SwitchedRig(unit)
        rig.driver.open()
        rig.driver.read(FIRST)
        outcome = rig.driver.pulse(rig.permit(OTHER))
        assert outcome.is_confirmed
        assert outcome.device == outcome.after.device == OTHER
        (pulse,) = rig.crossbar.pulses
        assert (pulse.wordline, pulse.bitline) == (3, 2)
        assert rig.true_ohm(FIRST) == 5000
        assert rig.terminals.n_hot == 0

    def test_the_same_device_again_moves_no_relay(self, unit):
        rig = SwitchedRig(unit)
        rig.driver.open()
        rig.driver.read_agreed(FIRST)
        n_sent = len([line for line in rig.switch_wire.sent if "channel.close" in line])
        rig.driver.pulse(rig.permit(FIRST))
        rig.driver.read(FIRST)
        assert len([line for line in rig.switch_wire.sent if "channel.close" in line]) == n_sent

    def test_make_safe_opens_everything(self, unit):
        rig = SwitchedRig(unit)
        rig.driver.open()
        rig.driver.read(OTHER)
        report = rig.driver.make_safe()
        assert report.state is SafeState.CONFIRMED
        assert "every relay open" in report.detail
        assert rig.terminals.closed == frozenset()
        assert not rig.output.is_on
        assert rig.terminals.n_hot == 0
        with pytest.raises(SafetyLimitError, match="after make_safe"):
            rig.driver.read(OTHER)

    def test_opening_and_closing_move_no_relay_of_somebody_else_s(self, unit):
        rig = SwitchedRig(unit)
        rig.terminals.move({"1A01", "5H12"})
        rig.driver.open()
        rig.driver.close()
        assert rig.terminals.closed == {"1A01", "5H12"}
        assert not any("close(" in line.replace("getclose(", "") for line in rig.switch_wire.sent)

    def test_what_somebody_else_closed_is_opened_before_a_device_is_connected(self, unit):
        rig = SwitchedRig(unit)
        rig.terminals.move({"1A02", "1B04"})
        rig.driver.open()
        assert rig.driver.read(FIRST).resistance_ohm == pytest.approx(5000, rel=1e-3)
        assert rig.terminals.closed == {"1A01", "1B03"}


def test_off_then_open_then_closed_then_on():
    rig = SwitchedRig()
    said = []
    rig.wire.on_request = lambda n, line: said.append(("unit", line)) or [(0.0, line)]
    rig.switch_wire.on_request = lambda n, line: said.append(("switch", line)) or [(0.0, line)]
    rig.driver.open()
    rig.driver.read(FIRST)
    said.clear()
    rig.driver.read(OTHER)
    steps = [(who, word) for who, line in said for word in WORDS if word in line]
    assert steps[: len(ORDER)] == ORDER


def test_nothing_is_switched_while_the_output_does_not_go_off():
    rig = SwitchedRig()
    rig.driver.open()
    rig.driver.read(FIRST)
    rig.wire.on_request = lambda n, line: [(0.0, line.replace("smua.source.output = 0", "x = 0"))]
    n_sent = len(rig.switch_wire.sent)
    with pytest.raises(InstrumentProtocolError, match="still on"):
        rig.driver.read(OTHER)
    with pytest.raises(InstrumentError):
        rig.driver.pulse(rig.permit(OTHER))
    assert len(rig.switch_wire.sent) == n_sent
    assert rig.terminals.closed == {"1A01", "1B03"}
    assert rig.crossbar.n_pulses == 0


def test_a_relay_that_sticks_is_named_and_nothing_is_driven():
    rig = SwitchedRig()
    rig.driver.open()
    rig.driver.read(FIRST)
    move = rig.terminals.move
    rig.terminals.move = lambda closed: move({*closed, "1A01"})  # welded
    with pytest.raises(InstrumentProtocolError, match="1A01 still closed"):
        rig.driver.read(OTHER)
    assert not rig.output.is_on
    report = rig.driver.make_safe()
    assert report.state is SafeState.FAILED
    assert "1A01" in report.detail


def test_a_unit_that_is_gone_is_cut_off_all_the_same():
    rig = SwitchedRig()
    rig.driver.open()
    rig.driver.read(OTHER)
    rig.wire.is_down = True
    report = rig.driver.make_safe()
    assert report.state is SafeState.FAILED
    assert "nobody there" in report.detail
    assert "every relay open" in report.detail
    assert rig.terminals.closed == frozenset()


def test_a_switch_that_is_gone_does_not_keep_the_output_on():
    rig = SwitchedRig()
    rig.driver.open()
    rig.driver.read(OTHER)
    rig.switch_wire.is_down = True
    report = rig.driver.make_safe()
    assert report.state is SafeState.FAILED
    assert "0 V, output off, read back" in report.detail
    assert "look at the switch's front panel" in report.detail
    assert not rig.output.is_on


def test_a_relay_that_does_not_close_is_found_before_the_output_goes_on():
    rig = SwitchedRig()
    rig.driver.open()
    move = rig.terminals.move
    rig.terminals.move = lambda closed: move(set(closed) - {"1B04"})
    with pytest.raises(InstrumentProtocolError, match="closed are 2A01, asked were 1B04, 2A01"):
        rig.driver.read(OTHER)
    assert not rig.output.is_on


@pytest.mark.parametrize("closed", [{"1A01", "1A02", "1B03"}, {"1A02", "1B03"}, set()])
def test_relays_that_somebody_moved_make_no_reading_and_no_pulse(closed):
    rig = SwitchedRig()
    rig.driver.open()
    rig.driver.read(FIRST)
    rig.terminals.move(closed)
    with pytest.raises(InstrumentProtocolError):
        rig.driver.read(FIRST)
    rig.driver.read(FIRST)  # connected anew
    rig.terminals.move(closed)
    with pytest.raises(InstrumentProtocolError, match="somebody else changed it"):
        rig.driver.pulse(rig.permit(FIRST))
    assert rig.crossbar.n_pulses == 0
    rig.driver.read(FIRST)
    assert rig.driver.pulse(rig.permit(FIRST)).is_confirmed


def test_a_trip_while_it_is_switched_stops_the_pulse():
    rig = SwitchedRig()
    rig.driver.open()
    rig.driver.read(FIRST)
    answers = iter([False, True])  # when the permit is spent, and before the message that moves
    with pytest.raises(SafetyLimitError, match="the Gate tripped"):
        rig.driver.pulse(rig.permit(OTHER, is_tripped=lambda: next(answers)))
    assert rig.crossbar.n_pulses == 0


def test_a_staircase_goes_to_the_device_that_was_asked_for():
    rig = SwitchedRig()
    rig.driver.open()
    rig.driver.read(FIRST)
    action = PulseDevice(OTHER.wordline, OTHER.bitline, 1.0, 9.5e-3)
    outcome = rig.driver.staircase(rig.permit(OTHER, action=action), 10, halts=True)
    assert outcome.device == outcome.after.device == OTHER
    assert outcome.steps[9].voltage_v == pytest.approx(1.0)
    assert {(p.wordline, p.bitline) for p in rig.crossbar.pulses} == {(3, 2)}
    assert rig.terminals.n_hot == 0


def test_devices_and_channels_that_there_are_not():
    rig = SwitchedRig()
    rig.driver.open()
    for device in (DeviceAddress(4, 1), DeviceAddress(1, 3), DeviceAddress(0, 1)):
        with pytest.raises(SafetyLimitError, match=r"allowed 1 to (3|2)"):
            rig.driver.read(device)
        with pytest.raises(SafetyLimitError, match=r"allowed 1 to (3|2)"):
            rig.driver.pulse(rig.permit(device))
    assert not any("close(" in line.replace("getclose(", "") for line in rig.switch_wire.sent)
    switch = Keithley707B("switch", rig.switch_wire.open)
    with pytest.raises(SafetyLimitError, match="'1101' is no channel of a 707B"):
        SwitchedArray(switch, ["1101"], ["1B01"])
    with pytest.raises(SafetyLimitError, match="1A01 stands for two lines"):
        SwitchedArray(switch, ["1A01", "1A02"], ["1A01"])
    with pytest.raises(SafetyLimitError):
        switch.close_only({'1A01"); reset("'})


def test_another_instrument_in_its_place_and_its_errors():
    rig = SwitchedRig()
    rig.switch_wire.on_reply = lambda n, text: [(0.0, "Keithley Instruments Inc., Model 2601B\n")]
    with pytest.raises(InstrumentProtocolError, match="no Keithley 707B"):
        rig.driver.open()
    rig = SwitchedRig()
    rig.driver.open()
    rig.switch_wire.instrument.errors.add(1112, "Invalid channel 1A01")
    with pytest.raises(InstrumentRefusedError, match="1112, Invalid channel"):
        rig.driver.read(FIRST)
    assert rig.driver.read(FIRST).resistance_ohm == pytest.approx(5000, rel=1e-3)
