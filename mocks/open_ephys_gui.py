"""The simulated Open Ephys GUI as a process: `python -m mocks.open_ephys_gui`.

Its Falcon Output and Event Broadcaster are ZeroMQ publishers, its control is HTTP, as the real
one's. The first line on standard output is JSON with `ready` and the ports.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from mocks import process
from mocks.arc_ports import TruthPort
from mocks.event_loop import EventLoop
from mocks.open_ephys_http import GuiHttpServer
from mocks.open_ephys_runtime import Gui, GuiSettings

SAMPLE_RATES_HZ = (20_000, 25_000, 30_000)


def main(arguments: Sequence[str]) -> None:
    """Run the mock until it is told to end."""
    given = _given(arguments)
    loop = EventLoop()
    gui = Gui(loop, _settings(given))
    process.stop_on_signals(loop.stop)
    if given.exit_on_stdin_eof:
        process.stop_on_stdin_end(loop, sys.stdin.fileno())
    http = GuiHttpServer(gui, loop, given.host, given.http_port)
    facts = {
        "http_port": http.port,
        "falcon_port": gui.falcon_port,
        "broadcaster_port": gui.broadcaster_port,
    }
    truth = None
    if given.truth is not None:
        truth = TruthPort(loop, given.truth, lambda _line: json.dumps(gui.status()).encode())
        facts["truth_port"] = truth.port
    try:
        process.announce(**facts)
        loop.run()
    finally:
        http.close()
        gui.close()
        if truth is not None:
            truth.close()


def _settings(given: argparse.Namespace) -> GuiSettings:
    return GuiSettings(
        host=given.host,
        falcon_port=given.falcon_port,
        broadcaster_port=given.broadcaster_port,
        stream=given.stream,
        sample_rate_hz=given.sample_rate_hz,
        n_channels=given.n_channels,
        stuck_channels=tuple(given.stuck_channel),
        saturated_channels=tuple(given.saturated_channel),
        can_start=not given.without_source,
        seed=given.seed,
        faults=given.faults,
    )


def _given(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what the command line says; wrong words end the process with a usage text."""
    parser = process.parser("mocks.open_ephys_gui", __doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    for name in ("http", "falcon", "broadcaster"):
        add(f"--{name}-port", type=int, default=0, help="0 takes a free one")
    add("--stream", default="example_data")
    add("--sample-rate-hz", type=int, choices=SAMPLE_RATES_HZ, default=20_000)
    add("--n-channels", type=int, default=60)
    add("--stuck-channel", type=int, action="append", default=[], metavar="COLUMN")
    add("--saturated-channel", type=int, action="append", default=[], metavar="COLUMN")
    add("--without-source", action="store_true", help="asked to acquire, it stays idle")
    given = parser.parse_args(arguments)
    columns = [*given.stuck_channel, *given.saturated_channel]
    if not given.n_channels >= 1 or any(not 0 <= c < given.n_channels for c in columns):
        parser.error(f"columns {columns} of {given.n_channels} channels")
    return given


if __name__ == "__main__":
    main(sys.argv[1:])
