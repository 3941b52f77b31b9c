"""The Open Ephys driver against a GUI that does what it should, and against one that does not."""

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import zmq
from fake_open_ephys import LIMIT_S, FakeGui, http_answer

from drivers.errors import (
    InstrumentError,
    InstrumentProtocolError,
    InstrumentRefusedError,
    InstrumentTimeoutError,
    SafetyLimitError,
    TransportError,
)
from drivers.mea.open_ephys.driver import OpenEphysGui
from drivers.mea.open_ephys.settings import OpenEphysSettings
from drivers.mea.protocol import CurrentPulse, Pattern, SampleBlock
from drivers.permit import Permit, Stimulate
from drivers.safe_state import SafeState
from mocks.open_ephys_wire import continuous_data, spike_event, ttl_event

N_ROWS = 10
STEP_UV = 0.195


def message(
    first: int = 0, *, stream: str = "s", n_channels: int = 2, rate: int = 20_000, n: int = N_ROWS
) -> bytes:
    """Row r, channel c holds 10 r + c counts, r counted from acquisition start."""
    rows = 10 * (first + np.arange(n)) + np.arange(n_channels)[:, None]
    return continuous_data(np.float32(rows * STEP_UV), stream, first, first // N_ROWS, rate)


@pytest.fixture
def gui() -> Iterator[FakeGui]:
    made = FakeGui()
    yield made
    made.close()


@pytest.fixture
def driver(gui: FakeGui) -> Iterator[OpenEphysGui]:
    made = make(gui)
    yield made
    made.close()


def make(gui: FakeGui, **changes: object) -> OpenEphysGui:
    settings = {
        "host": "127.0.0.1", "http_port": gui.http_port, "falcon_port": gui.falcon_port,
        "channels": ("A", "B"), "sample_rate_hz": 20_000.0, "http_timeout_s": LIMIT_S,
        "mode_timeout_s": LIMIT_S, "start_timeout_s": LIMIT_S,
    }  # fmt: skip
    return OpenEphysGui("oe1", OpenEphysSettings(**(settings | changes)))  # type: ignore[arg-type]


def running(gui: FakeGui, driver: OpenEphysGui, *messages: bytes) -> OpenEphysGui:
    """Start the driver; the GUI sends these messages (or one good one) as it starts."""
    driver.open()
    gui.await_subscriber(gui.falcon)
    gui.on_acquire = [[m] for m in messages or (message(),)]
    driver.start()
    return driver


def next_block(driver: OpenEphysGui) -> SampleBlock:
    block = driver.read_block(LIMIT_S)
    assert block is not None
    return block


def test_blocks_are_what_was_sent_and_read_only(gui: FakeGui, driver: OpenEphysGui) -> None:
    running(gui, driver, message(0), message(10))
    first, second = next_block(driver), next_block(driver)
    assert first.samples.tolist() == [[10 * r, 10 * r + 1] for r in range(10)]
    assert (first.first_sample, first.n_lost) == (0, 0)
    assert (second.first_sample, second.n_lost) == (10, 0)
    assert not first.samples.flags.writeable
    assert driver.stream_format.channel_names == ("A", "B")
    assert driver.stream_format.microvolts_per_count == STEP_UV
    assert driver.read_block(0.0) is None


def test_jumps_of_the_sample_number_are_declared(gui: FakeGui, driver: OpenEphysGui) -> None:
    running(gui, driver, message(100))
    assert next_block(driver).n_lost == 0, "what was before we came is not lost"
    for first in (110, 150, 0, 0):
        gui.send(message(first))
    lost = [next_block(driver).n_lost for _ in range(4)]
    assert lost == [0, 30, -1, -1], "a restart and a repetition are jumps of unknown length"


def test_messages_without_samples_are_passed_over(gui: FakeGui, driver: OpenEphysGui) -> None:
    running(gui, driver, message(0), message(10, n=0), message(10))
    next_block(driver)
    assert next_block(driver).first_sample == 10


def test_only_the_stream_that_was_asked_for_is_taken(gui: FakeGui) -> None:
    driver = make(gui, stream="b")
    running(gui, driver, message(0, stream="a", n_channels=7), message(0, stream="b"))
    assert next_block(driver).first_sample == 0
    assert driver.n_other_streams == 1
    driver.close()


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([message(10, n_channels=3)], "has 3 channels, the settings name 2"),
        ([message(10, rate=30_000)], "has 30000 Hz, the settings say 20000 Hz"),
        ([message(10, stream="t")], "two streams, 's' and 't'; say which"),
        ([message(10)[:40]], "no ContinuousData"),
        ([b""], "0 bytes are no"),
        ([b"DATA\x00", b"{}", b"1234"], "3 frames, expected 1"),
    ],
)
def test_a_message_that_is_not_what_was_agreed_is_named(
    frames: list[bytes], words: str, gui: FakeGui, driver: OpenEphysGui
) -> None:
    running(gui, driver)
    next_block(driver)
    gui.send(*frames)
    with pytest.raises(InstrumentProtocolError, match=words):
        driver.read_block(LIMIT_S)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"", TransportError, "no Open Ephys GUI"),
        (b"\x00\xff not HTTP\r\n\r\n", TransportError, "no Open Ephys GUI"),
        (http_answer(b"{}")[:-1], InstrumentError, "oe1|HTTP server"),
        (http_answer(b"busy", "503 Service Unavailable"), InstrumentRefusedError, "503"),
        (http_answer(b"<html>"), InstrumentProtocolError, "names no mode"),
        (http_answer(b'{"mode":"DREAM"}'), InstrumentProtocolError, "'DREAM', expected"),
    ],
)
@pytest.mark.parametrize("at", ["open", "start", "set mode", "stop", "set idle"])
def test_every_answer_spoilt_in_turn_is_named(
    at: str,
    answer: bytes,
    error: type[InstrumentError],
    words: str,
    gui: FakeGui,
    driver: OpenEphysGui,
) -> None:
    good = http_answer(b'{"mode":"IDLE"}')
    if at == "open":
        gui.answers = [answer]
        with pytest.raises(error, match=words):
            driver.open()
        driver.open()
        return
    if at in ("start", "set mode"):
        driver.open()
        gui.answers = [answer] if at == "start" else [good, answer]
        with pytest.raises(error, match=words):
            driver.start()
        return
    running(gui, driver)
    gui.answers = [answer] if at == "stop" else [http_answer(b'{"mode":"ACQUIRE"}'), answer]
    with pytest.raises(error, match=words):
        driver.stop()


def test_a_gui_that_says_nothing_is_named(gui: FakeGui) -> None:
    driver = make(gui, http_timeout_s=0.1)
    gui.answers = [None]
    with pytest.raises(InstrumentTimeoutError, match=r"does not answer within 0\.1 s"):
        driver.open()
    driver.close()
    driver = make(gui, mode_timeout_s=0.1)
    driver.open()
    gui.answers = [http_answer(b'{"mode":"IDLE"}'), None]
    with pytest.raises(InstrumentTimeoutError, match=r"does not answer within 0\.1 s"):
        driver.start()
    driver.close()


def _fail(*_args: object) -> None:
    raise zmq.ZMQError(zmq.EINVAL)


def test_sockets_that_fail_are_named(
    gui: FakeGui, driver: OpenEphysGui, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(zmq.Socket, "connect", _fail)
        with pytest.raises(TransportError, match="cannot subscribe"):
            driver.open()
    running(gui, driver)
    next_block(driver)
    with monkeypatch.context() as patch:
        patch.setattr(zmq.Socket, "poll", _fail)
        with pytest.raises(TransportError, match="reading failed"):
            driver.read_block(LIMIT_S)


def test_a_gui_that_does_not_start_is_named(gui: FakeGui, driver: OpenEphysGui) -> None:
    driver.open()
    gui.answers = [http_answer(b'{"mode":"IDLE"}')] * 2
    with pytest.raises(InstrumentRefusedError, match="stays in IDLE; look at its signal chain"):
        driver.start()


def test_a_gui_without_falcon_output_is_named(gui: FakeGui) -> None:
    driver = make(gui, start_timeout_s=0.05)
    driver.open()
    with pytest.raises(InstrumentTimeoutError, match=r"no samples came .* Falcon Output"):
        driver.start()
    driver.close()


def test_nothing_there_is_named() -> None:
    gui = FakeGui()
    driver = make(gui)
    gui.close()
    with pytest.raises(TransportError, match=r"no Open Ephys GUI at 127\.0\.0\.1"):
        driver.open()
    driver.close()
    for call in (driver.start, lambda: driver.read_block(0.0), lambda: driver.stream_format):
        with pytest.raises(InstrumentProtocolError, match="not open"):
            call()


@pytest.mark.parametrize("mode", ["ACQUIRE", "RECORD"])
def test_what_the_operator_had_started_goes_on(
    mode: str, gui: FakeGui, driver: OpenEphysGui
) -> None:
    gui.mode = mode
    driver.open()
    gui.await_subscriber(gui.falcon)
    sender = threading.Thread(target=lambda: [gui.send(message(r)) for r in range(0, 100_000, 10)])
    sender.start()
    driver.start()
    driver.stop()
    sender.join()
    assert gui.mode == mode
    assert not [r for r in gui.requests if r.startswith("PUT")]


def test_a_recording_that_began_meanwhile_is_not_stopped(
    gui: FakeGui, driver: OpenEphysGui
) -> None:
    running(gui, driver)
    gui.mode = "RECORD"
    driver.stop()
    assert gui.mode == "RECORD"
    running_again = [r for r in gui.requests if r.startswith("PUT")]
    assert len(running_again) == 1


def test_it_never_stimulates(gui: FakeGui, driver: OpenEphysGui) -> None:
    running(gui, driver)
    permit = Permit(
        instrument="oe1",
        action=Stimulate(1),
        number=4,
        expires_ns=10**18,
        is_tripped=lambda: False,
        clock_ns=lambda: 0,
    )
    n_requests = len(gui.requests)
    with pytest.raises(SafetyLimitError, match="takes no stimuli from us"):
        driver.stimulate(permit)
    assert permit.spend("oe1") == Stimulate(1), "not spent on a refusal"
    with pytest.raises(SafetyLimitError, match="take out the patterns"):
        driver.prepare([Pattern(1, ("A",), CurrentPulse(1e-6, 1e-4, 1e-6, 1e-4))])
    driver.prepare([])
    assert driver.make_safe().state is SafeState.BY_CONSTRUCTION
    assert len(gui.requests) == n_requests, "nothing was asked of the GUI"


def test_spikes_of_the_guis_own_detector(gui: FakeGui) -> None:
    driver = make(gui, broadcaster_port=gui.broadcaster_port)
    driver.open()
    gui.await_subscriber(gui.broadcaster)
    assert driver.read_spikes(0.0) == []
    gui.broadcaster.send_multipart(spike_event("s", "Electrode 2", 17, 20_000, 60.0))
    gui.broadcaster.send_multipart(ttl_event("s", 1, True, 18))
    found = driver.read_spikes(LIMIT_S)
    assert [(s.electrode, s.sample_number) for s in found] == [("Electrode 2", 17)]
    gui.broadcaster.send_multipart([b"spike", b"{}"])
    with pytest.raises(InstrumentProtocolError, match="Event Broadcaster"):
        driver.read_spikes(LIMIT_S)
    driver.close()
    with pytest.raises(InstrumentProtocolError, match="broadcaster_port is not set"):
        driver.read_spikes(0.0)


def test_close_returns_a_waiting_reader(gui: FakeGui, driver: OpenEphysGui) -> None:
    running(gui, driver)
    next_block(driver)
    got: list[SampleBlock | None] = []
    reader = threading.Thread(target=lambda: got.append(driver.read_block(60.0)))
    reader.start()
    driver.close()
    driver.close()
    reader.join(LIMIT_S)
    assert got == [None]


def _with(**changes: object) -> Callable[[], OpenEphysSettings]:
    good = {"host": "h", "channels": ("A",), "sample_rate_hz": 20_000.0}
    return lambda: OpenEphysSettings(**(good | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (_with(channels=()), "one or more"),
        (_with(channels=("A", "A")), "each once"),
        (_with(sample_rate_hz=float("nan")), "nan Hz, allowed 1000 to 50000"),
        (_with(sample_rate_hz=100_000.0), "allowed 1000 to 50000"),
        (_with(microvolts_per_count=float("nan")), "above 0 and finite"),
        (_with(microvolts_per_count=0.0), "above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    build: Callable[[], OpenEphysSettings], words: str
) -> None:
    with pytest.raises(SafetyLimitError, match=words):
        build()


def test_requests_are_those_of_the_guis_documentation(gui: FakeGui, driver: OpenEphysGui) -> None:
    running(gui, driver)
    driver.stop()
    assert gui.mode == "IDLE"
    assert gui.requests == [
        "GET /api/status HTTP/1.1",
        "GET /api/status HTTP/1.1",
        "PUT /api/status HTTP/1.1",
        "GET /api/status HTTP/1.1",
        "PUT /api/status HTTP/1.1",
    ]
