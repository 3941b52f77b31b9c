"""The RHX driver against the simulated RHX, and against one that spoils each reply in turn."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fake_rhx import FakeRhx, Spoil, blocks
from mock_process import MockProcess

from drivers.errors import InstrumentError, InstrumentProtocolError, SafetyLimitError
from drivers.mea.intan_rhx.driver import IntanRhx
from drivers.mea.intan_rhx.settings import IntanRhxSettings
from drivers.mea.protocol import CurrentPulse, Pattern, StimMark
from drivers.permit import Action, DriveNeuron, Permit, Stimulate
from drivers.safe_state import SafeState

PULSE = CurrentPulse(2e-6, 200e-6, 2e-6, 200e-6)
CHANNELS = ("B-000", "A-016", "A-018", "A-025")
STIM = ("A-016", "A-018")
PATTERNS = [Pattern(1, ("A-016",), PULSE), Pattern(7, ("A-018",), PULSE)]


PATTERN_7 = Stimulate(7)


def permit(action: Action = PATTERN_7, **changes: Any) -> Permit:
    fields: dict[str, Any] = {
        "instrument": "mea1",
        "action": action,
        "number": 1,
        "expires_ns": time.monotonic_ns() + 10_000_000_000,
        "is_tripped": lambda: False,
        "clock_ns": time.monotonic_ns,
        **changes,
    }
    return Permit(**fields)


# The simulated RHX, a process


@pytest.fixture(scope="module")
def mock() -> Iterator[dict[str, Any]]:
    made = MockProcess("mocks.rhx_server", "--upload-s", "0.1", "--reconnect-after-s", "0")
    yield made.ready
    assert made.close() == 0


@pytest.fixture
def driver(mock: dict[str, Any]) -> Iterator[IntanRhx]:
    settings = IntanRhxSettings(
        host="127.0.0.1",
        command_port=mock["command_port"],
        waveform_port=mock["waveform_port"],
        spike_port=mock["spike_port"],
        channels=CHANNELS,
        stim_channels=STIM,
        takes_spikes=True,
        idle_gap_s=0.01,
    )
    made = IntanRhx("mea1", settings)
    yield made
    made.close()
    made.close()


def opened(driver: IntanRhx) -> IntanRhx:
    """RHX listens again only after somebody pressed Connect; the mock's operator is quick."""
    for _ in range(100):
        try:
            driver.open()
        except InstrumentError as exc:
            if "press Connect" not in str(exc):
                raise
            time.sleep(0.02)
        else:
            return driver
    raise AssertionError("the mock does not listen")


def marks_until(driver: IntanRhx, n: int) -> list[StimMark]:
    marks: list[StimMark] = []
    end = time.monotonic() + 5.0
    while len(marks) < n and time.monotonic() < end:
        block = driver.read_block(0.1)
        marks += block.stimuli if block is not None else ()
    return marks


def test_samples_come_gapless_and_a_key_stimulates(driver: IntanRhx) -> None:
    opened(driver).prepare(PATTERNS)
    assert driver.stream_format.channel_names == CHANNELS
    assert driver.stream_format.sample_rate_hz == 20_000
    driver.start()
    end = 0
    while end < 4000:
        block = driver.read_block(1.0)
        assert block is not None
        assert (block.first_sample, block.n_lost, block.stimuli) == (end, 0, ())
        assert block.samples.shape[1] == len(CHANNELS)
        end = block.end_sample
    before_ns = time.monotonic_ns()
    sent_ns = driver.stimulate(permit())
    assert before_ns <= sent_ns <= time.monotonic_ns()
    (mark,) = marks_until(driver, 1)
    assert mark.channel == CHANNELS.index("A-018")
    assert mark.amplitude_a == pytest.approx(-2e-6)
    assert driver.make_safe().state is SafeState.CONFIRMED


def test_a_train_is_one_stimulus_and_each_of_its_pulses_is_shown(driver: IntanRhx) -> None:
    pulse = replace(PATTERNS[0].pulse, n_pulses=3, period_s=0.01)
    opened(driver).prepare([replace(PATTERNS[0], pulse=pulse)])
    driver.start()
    driver.stimulate(permit(Stimulate(PATTERNS[0].pattern_id)))
    stimuli: list[StimMark] = []
    repeats: list[StimMark] = []
    end_s = time.monotonic() + 5.0
    while len(repeats) < 2 * len(PATTERNS[0].channels) and time.monotonic() < end_s:
        block = driver.read_block(0.1)
        stimuli += block.stimuli if block is not None else ()
        repeats += block.repeats if block is not None else ()
    assert len(stimuli) == len(PATTERNS[0].channels)
    first = stimuli[0].sample_index
    assert {mark.sample_index - first for mark in repeats} == {200, 400}


def test_made_safe_stimulates_nothing_until_started_again(driver: IntanRhx) -> None:
    opened(driver).prepare(PATTERNS)
    with pytest.raises(SafetyLimitError, match="start it first"):
        driver.stimulate(permit())
    driver.start()
    driver.make_safe()
    with pytest.raises(SafetyLimitError, match="made safe"):
        driver.stimulate(permit())
    driver.open()
    driver.start()
    block = driver.read_block(1.0)
    assert block is not None
    assert block.n_lost == -1, "how long it was stopped, the stream does not tell"
    driver.stimulate(permit())
    assert len(marks_until(driver, 1)) == 1


@pytest.mark.parametrize(
    "bad",
    [
        permit(Stimulate(2)),
        permit(DriveNeuron(1, 1)),
        permit(instrument="mea2"),
        permit(is_tripped=lambda: True),
        permit(expires_ns=0),
    ],
)
def test_without_a_valid_permit_no_key_is_pressed(driver: IntanRhx, bad: Permit) -> None:
    opened(driver).prepare(PATTERNS)
    driver.start()
    with pytest.raises(SafetyLimitError):
        driver.stimulate(bad)
    good = permit()
    driver.stimulate(good)
    with pytest.raises(SafetyLimitError, match="spent"):
        driver.stimulate(good)
    assert len(marks_until(driver, 1)) == 1


def test_nobody_pressed_connect_is_an_instruction() -> None:
    settings = IntanRhxSettings(host="127.0.0.1", command_port=1, channels=("A-000",))
    driver = IntanRhx("mea1", settings)
    with pytest.raises(InstrumentError, match="press Connect"):
        driver.open()
    report = driver.make_safe()
    assert report.state is SafeState.BY_CONSTRUCTION
    driver.close()


def test_safe_off_without_an_open_driver_stops_what_runs(mock: dict[str, Any]) -> None:
    settings = IntanRhxSettings(
        host="127.0.0.1",
        command_port=mock["command_port"],
        waveform_port=mock["waveform_port"],
        channels=CHANNELS,
    )
    stranger = IntanRhx("mea1", settings)
    for _ in range(200):
        report = stranger.make_safe()
        if report.state is SafeState.CONFIRMED:
            return
        time.sleep(0.02)
    raise AssertionError(report)


# One reply spoilt at a time


def use(server: FakeRhx) -> IntanRhx:
    settings = IntanRhxSettings(
        host="127.0.0.1",
        command_port=server.command_port,
        waveform_port=server.waveform_port,
        channels=("A-000", "A-001"),
        stim_channels=("A-001",),
        reply_timeout_s=0.08,
        idle_gap_s=0.004,
        upload_timeout_s=0.08,
        start_timeout_s=0.5,
        connect_timeout_s=0.3,
        safe_timeout_s=0.08,
    )
    return IntanRhx("mea1", settings)


def whole_life(driver: IntanRhx, server: FakeRhx) -> bool:
    """Use a driver from open to close; say whether it came to the stimulus without an error."""
    is_stimulated = False
    try:
        driver.open()
        assert driver.stream_format.sample_rate_hz == 20_000
        driver.prepare([Pattern(3, ("A-001",), PULSE)])
        held = {k: v for k, v in server.values.items() if k.startswith("a-001.")}
        assert held["a-001.firstphaseamplitudemicroamps"] == "2"
        assert held["a-001.stimenabled"] == "True"
        assert server.n_uploads == 1
        driver.start()
        block = driver.read_block(0.5)
        assert block is not None
        assert block.n_lost == 0
        driver.stimulate(permit(Stimulate(3)))
        is_stimulated = True
    except InstrumentError:
        pass
    finally:
        driver.make_safe()
        driver.close()
    return is_stimulated


def n_replies() -> int:
    server = FakeRhx(3)
    try:
        assert whole_life(use(server), server)
        return server.n_replies
    finally:
        server.close()


def garble(reply: bytes) -> bytes:
    at = reply.rindex(b" ") + 1
    return reply[:at] + bytes([reply[at] ^ 0x55]) + reply[at + 1 :]


FAULTS: dict[str, Spoil] = {
    "late": lambda _reply: None,
    "garbled": garble,
    "half": lambda reply: reply[: len(reply) // 2],
    "complaint": lambda reply: b"Error - Command 1: Unrecognized command" + reply,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_reply_spoilt_in_turn(fault: str) -> None:
    """Late: it comes with the next one, or never. No wrong value, no key that was not asked for."""
    n_well = 0
    for at in range(n_replies()):
        server = FakeRhx(3, at, FAULTS[fault])
        try:
            is_stimulated = whole_life(use(server), server)
        finally:
            server.close()
        assert server.triggers == (["F1"] if is_stimulated else []), f"reply {at} {fault}"
        n_well += is_stimulated
    if fault != "garbled":  # what is asked again until it is right heals a garbled reply
        assert n_well <= 3, "only the replies behind the stimulus may be spoilt without an error"


def test_complaint_of_rhx_is_told_in_its_own_words() -> None:
    words = b"Invalid value for A-001.Shape command. Acceptable: Biphasic"
    server = FakeRhx(3, 4, lambda reply: words + reply)
    driver = use(server)
    try:
        with pytest.raises(InstrumentError, match="Acceptable: Biphasic"):
            driver.open()
    finally:
        driver.close()
        server.close()


def test_unexpected_bytes_are_counted_and_answer_nothing() -> None:
    server = FakeRhx(3)
    driver = use(server)
    try:
        driver.open()
        driver.prepare([Pattern(3, ("A-001",), PULSE)])
        server.push(b"Return: RunMode Run")
        deadline = time.monotonic() + 5.0
        while driver.n_unexpected_bytes == 0 and time.monotonic() < deadline:
            driver.stop()
        assert driver.n_unexpected_bytes == len(b"Return: RunMode Run")
    finally:
        driver.close()
        server.close()


def read_for_ever(driver: IntanRhx) -> None:
    while True:
        driver.read_block(0.2)


def test_stream_that_breaks_off_is_an_error_and_nothing_hangs() -> None:
    server = FakeRhx(3)
    driver = use(server)
    try:
        driver.open()
        driver.start()
        while driver.read_block(0.0) is not None:
            pass
        assert driver.read_block(0.05) is None
        server._waveforms.sendall(blocks(512, 1, 2))
        server._waveforms.close()
        with pytest.raises(InstrumentError, match="closed"):
            read_for_ever(driver)
    finally:
        driver.close()
        server.close()


def test_controller_that_cannot_stimulate_is_refused_patterns() -> None:
    server = FakeRhx(3)
    server.values["type"] = "ControllerRecordUSB3"
    driver = use(server)
    try:
        with pytest.raises(SafetyLimitError, match="cannot stimulate"):
            driver.open()
    finally:
        driver.close()
        server.close()


def test_parameter_that_did_not_take_is_not_used() -> None:
    server = FakeRhx(3)
    driver = use(server)
    try:
        driver.open()
        server.values = _Stubborn(server.values)
        with pytest.raises(InstrumentProtocolError, match="FirstPhaseAmplitudeMicroAmps"):
            driver.prepare([Pattern(3, ("A-001",), PULSE)])
        assert server.n_uploads == 0
        driver.start()
        with pytest.raises(SafetyLimitError, match="not prepared"):
            driver.stimulate(permit(Stimulate(3)))
    finally:
        driver.close()
        server.close()


class _Stubborn(dict[str, str]):
    """Keeps one amplitude at what it was, and says nothing, as RHX would."""

    def __setitem__(self, key: str, value: str) -> None:
        super().__setitem__(key, "9" if key.endswith("firstphaseamplitudemicroamps") else value)
