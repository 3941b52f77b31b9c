"""The ports of a mock's process: opened as its arguments ask, told when ready, closed at last."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from mocks import process
from mocks.arc_ports import PtyPort, TcpPort, TruthPort
from mocks.event_loop import EventLoop

Answers = Mapping[str, Callable[[int], dict[str, Any]]]
"""What a truth port is asked for -> its answer; the number is how much is known already."""


class Closable(Protocol):
    """Anything that is given back at the end."""

    def close(self) -> None:
        """Give it back."""


class Instrument(Protocol):
    """What takes a client's bytes, and answers on the port where they came from."""

    def on_data(self, port: Any, data: bytes) -> None:
        """Take bytes."""


class Served:
    """Ports by the names under which the ready line tells of them. Belongs to the loop's thread."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._ports: list[Closable] = []
        self._facts: dict[str, Any] = {}

    def keep(self, port: Closable, /, **facts: Any) -> None:
        """Close this at the end too, and tell these facts of it."""
        self._ports.append(port)
        self._facts |= facts

    def pty(self, instrument: Instrument, link: Path | None) -> None:
        """Serve on a pseudo-terminal."""
        port = PtyPort(self._loop, lambda data: instrument.on_data(port, data), link)
        self.keep(port, pty=port.name)

    def tcp(self, instrument: Instrument, address: tuple[str, int], name: str = "tcp_port") -> None:
        """Serve on a TCP port."""
        port = TcpPort(self._loop, address, lambda data: instrument.on_data(port, data))
        self.keep(port, **{name: port.port})

    def truth(self, address: tuple[str, int], answers: Answers) -> None:
        """Answer a test's questions; nothing that is simulated may ask."""
        port = TruthPort(self._loop, address, lambda line: answer(line, answers))
        self.keep(port, truth_port=port.port)

    def run(self, given: argparse.Namespace) -> None:
        """Say that the mock is ready and serve until it is told to end."""
        process.stop_on_signals(self._loop.stop)
        if given.exit_on_stdin_eof:
            process.stop_on_stdin_end(self._loop, sys.stdin.fileno())
        try:
            process.announce(**self._facts)
            self._loop.run()
        finally:
            for port in self._ports:
                port.close()


def answer(line: bytes, answers: Answers) -> bytes:
    """Return the answer to `{"ask": ..., "skip": n}`, in one line of JSON."""
    try:
        question = json.loads(line)
        ask, skip = str(question["ask"]), max(0, int(question.get("skip", 0)))
    except (ValueError, KeyError, TypeError):
        return json.dumps({"error": 'ask like {"ask": "status"}'}).encode()
    if ask not in answers:
        return json.dumps({"error": f"unknown question {ask!r}: {', '.join(answers)}"}).encode()
    return json.dumps(answers[ask](skip)).encode()
