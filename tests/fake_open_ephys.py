"""A small Open Ephys GUI for fault tests: HTTP answers by script, messages when a test says so."""

import json
import socket
import threading

import zmq

LIMIT_S = 5.0


class FakeGui:
    """Serves one driver; everything is over when `close` returns.

    `answers` are sent one by one, raw bytes of a whole HTTP answer; b"" hangs up, None says
    nothing. When they are used up, the GUI answers with `mode`, and does what it is asked.
    """

    def __init__(self) -> None:
        self.mode = "IDLE"
        self.answers: list[bytes | None] = []
        self.requests: list[str] = []
        self.on_acquire: list[list[bytes]] = []
        """Messages (lists of frames) to send when the mode becomes ACQUIRE."""
        self.context = zmq.Context()
        self.falcon, self.falcon_port = self._bind()
        self.broadcaster, self.broadcaster_port = self._bind()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.http_port = int(self._server.getsockname()[1])
        self._hanging: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        with socket.create_connection(("127.0.0.1", self.http_port)) as last:
            last.sendall(b"END")
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()
        for one in (self._server, *self._hanging):
            one.close()
        self.falcon.close(linger=0)
        self.broadcaster.close(linger=0)
        self.context.term()

    def await_subscriber(self, publisher: zmq.Socket) -> None:
        assert publisher.poll(1000 * LIMIT_S), "nobody subscribed"
        assert publisher.recv() == b"\x01"

    def send(self, *frames: bytes) -> None:
        self.falcon.send_multipart(frames)

    def _bind(self) -> tuple[zmq.Socket, int]:
        made = self.context.socket(zmq.XPUB)
        made.set(zmq.LINGER, 0)
        return made, made.bind_to_random_port("tcp://127.0.0.1")

    def _serve(self) -> None:
        while True:
            client, _ = self._server.accept()
            client.settimeout(LIMIT_S)
            request = client.recv(4096)
            while b"Content-Length" in request and not request.endswith(b"}"):
                request += client.recv(4096)
            if request == b"END":
                client.close()
                return
            self.requests.append(request.split(b"\r\n")[0].decode())
            answer = self.answers.pop(0) if self.answers else self._right_answer(request)
            if answer is None:
                self._hanging.append(client)
                continue
            client.sendall(answer)
            client.close()

    def _right_answer(self, request: bytes) -> bytes:
        if request.startswith(b"PUT"):
            self.mode = json.loads(request.partition(b"\r\n\r\n")[2])["mode"]
            if self.mode == "ACQUIRE":
                for frames in self.on_acquire:
                    self.send(*frames)
        return http_answer(json.dumps({"mode": self.mode}).encode())


def http_answer(body: bytes, status: str = "200 OK") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode() + body
