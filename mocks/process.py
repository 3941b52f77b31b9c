"""What the programs of all mocks have in common: arguments, the ready line, an orderly end."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from mocks.event_loop import EventLoop
from mocks.faults import plan_from

STDIN_FD = 0


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the arguments that every mock understands."""
    result = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    result.add_argument("--seed", type=int, default=1)
    result.add_argument(
        "--faults", type=_fault_plan, default=plan_from(""), metavar="JSON", help="see mocks.faults"
    )
    result.add_argument(
        "--truth", type=address, metavar="HOST:PORT", help="what really happened, for tests only"
    )
    result.add_argument(
        "--exit-on-stdin-eof",
        action="store_true",
        help="end when standard input ends, so with whoever started this",
    )
    return result


def address(text: str) -> tuple[str, int]:
    """Return (host, port) from "HOST:PORT"; port 0 takes a free one. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


def announce(**facts: Any) -> None:
    """Say on standard output, in one line of JSON, that the mock is ready and where it is."""
    sys.stdout.write(json.dumps({"ready": True, **facts}) + "\n")
    sys.stdout.flush()


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` on SIGTERM and SIGINT. Main thread only."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop())


def stop_on_stdin_end(loop: EventLoop, fd: int = STDIN_FD) -> None:
    """Stop the loop when standard input ends; what comes before is read and ignored."""

    def read() -> None:
        if not os.read(fd, 4096):
            loop.forget(fd)
            loop.stop()

    loop.on_readable(fd, read)


def _fault_plan(text: str) -> Any:
    try:
        return plan_from(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
