"""The simulated GUI's HTTP server: GET and PUT /api/status, as the GUI answers them."""

import json
import queue
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mocks.event_loop import EventLoop
from mocks.open_ephys_runtime import MODES, Gui

MAX_BODY_BYTES = 65_536
ANSWER_LIMIT_S = 5.0
STOP_POLL_S = 0.05


class GuiHttpServer:
    """Serves from threads of its own until `close`; what it is asked the loop's thread does."""

    def __init__(self, gui: Gui, loop: EventLoop, host: str, port: int) -> None:
        self._gui = gui
        self._loop = loop
        self._wishes: queue.SimpleQueue[tuple[str, queue.SimpleQueue[str]]] = queue.SimpleQueue()
        self._waker, self._woken = socket.socketpair()
        loop.on_readable(self._woken, self._fulfil)
        self._server = ThreadingHTTPServer((host, port), _handler(gui, self.set_mode))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_POLL_S,), name="http"
        )
        self._thread.start()

    def set_mode(self, mode: str) -> str:
        """Ask the loop for a mode; return the one that then holds. Any thread."""
        answer: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._wishes.put((mode, answer))
        self._waker.send(b"\0")
        return answer.get(timeout=ANSWER_LIMIT_S)

    def close(self) -> None:
        """Stop and give the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._loop.forget(self._woken)
        self._waker.close()
        self._woken.close()

    def _fulfil(self) -> None:
        self._woken.recv(1)
        mode, answer = self._wishes.get()
        answer.put(self._gui.set_mode(mode))


def _handler(gui: Gui, set_mode: Callable[[str], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0

        def do_GET(self) -> None:
            """Answer /api/status."""
            self._answer_mode(self.path == "/api/status")

        def do_PUT(self) -> None:
            """Change the mode."""
            n_bytes = int(self.headers.get("Content-Length", 0))
            try:
                mode = json.loads(self.rfile.read(min(n_bytes, MAX_BODY_BYTES)))["mode"]
            except (ValueError, LookupError, TypeError):
                mode = None
            is_known = self.path == "/api/status" and mode in MODES
            if is_known:
                set_mode(str(mode))
            self._answer_mode(is_known)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

        def _answer_mode(self, is_known: bool) -> None:
            body = json.dumps({"mode": gui.mode}).encode("ascii") if is_known else b""
            self.send_response(200 if is_known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
