"""A mock neuron chip as a process, with its hub's socket and its truth, for tests.

Bytes are those of the 2020 hub program: drive `53 nnnnnn ww tttttt`, spike `41 nnnnnn 00 tttttt`.
"""

import contextlib
import json
import select
import socket
import subprocess
import sys
import time

DRIVE_63 = bytes.fromhex("5300003f80004e20")
DRIVE_1_WEAK = bytes.fromhex("530000013c004e20")
DRIVE_1_STRONG = bytes.fromhex("53000001c8004e20")
DRIVE_2_STRONG = bytes.fromhex("53000002c8004e20")
SPIKE_63 = bytes.fromhex("4100003f")
SPIKE_1 = bytes.fromhex("41000001")
LIMIT_S = 5.0


class Chip:
    """The process, its hub's socket and its truth."""

    def __init__(self, *options, hub=None):
        self.hub = hub or hub_socket()
        command = [sys.executable, "-m", "mocks.aer_chip", "--exit-on-stdin-eof"]
        command += ["--listen", "127.0.0.1:0", "--truth", "127.0.0.1:0"]
        command += ["--hub", f"127.0.0.1:{self.hub.getsockname()[1]}", *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.ready = json.loads(self.process.stdout.readline())
        self.address = ("127.0.0.1", self.ready["port"])

    def send(self, *packets):
        for packet in packets:
            self.hub.sendto(packet, self.address)

    def receive(self):
        return self.hub.recv(2048)

    def is_silent_for(self, duration_s):
        return not select.select([self.hub], [], [], duration_s)[0]

    def ask(self, ask, **more):
        address = ("127.0.0.1", self.ready["truth_port"])
        with socket.create_connection(address, LIMIT_S) as truth, truth.makefile("rw") as lines:
            lines.write(json.dumps({"ask": ask, **more}) + "\n")
            lines.flush()
            return json.loads(lines.readline())

    def status_when(self, **wanted):
        """Return the status once it says what is wanted."""
        deadline_s = time.monotonic() + LIMIT_S
        while True:
            status = self.ask("status")
            if wanted.items() <= status.items():
                return status
            assert time.monotonic() < deadline_s, f"{status} never came to {wanted}"

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(LIMIT_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.hub.close()


def hub_socket():
    hub = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    hub.settimeout(LIMIT_S)
    hub.bind(("127.0.0.1", 0))
    return hub


@contextlib.contextmanager
def running(*options, faults=(), **more):
    if faults:
        options += ("--faults", json.dumps(faults))
    chip = Chip("--relay", "63", "--adex", "1,2", "--seed", "3", *options, **more)
    try:
        yield chip
    finally:
        chip.close()
