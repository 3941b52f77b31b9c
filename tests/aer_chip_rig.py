"""A mock neuron chip as a process, with its hub's socket and its truth, for tests.

Bytes are those of the 2020 hub program: drive `53 nnnnnn ww tttttt`, spike `41 nnnnnn 00 tttttt`.
"""

import contextlib
import json
import select
import socket

from mock_process import MockProcess

DRIVE_63 = bytes.fromhex("5300003f80004e20")
DRIVE_1_WEAK = bytes.fromhex("530000013c004e20")
DRIVE_1_STRONG = bytes.fromhex("53000001c8004e20")
DRIVE_2_STRONG = bytes.fromhex("53000002c8004e20")
SPIKE_63 = bytes.fromhex("4100003f")
SPIKE_1 = bytes.fromhex("41000001")
LIMIT_S = 5.0


class Chip(MockProcess):
    """The process, its hub's socket and its truth."""

    def __init__(self, *options, hub=None):
        self.hub = hub or hub_socket()
        ends = ["--listen", "127.0.0.1:0", "--hub", f"127.0.0.1:{self.hub.getsockname()[1]}"]
        super().__init__("mocks.aer_chip", *ends, "--truth", "127.0.0.1:0", *options)
        self.address = ("127.0.0.1", self.ready["port"])

    def send(self, *packets):
        for packet in packets:
            self.hub.sendto(packet, self.address)

    def receive(self):
        return self.hub.recv(2048)

    def is_silent_for(self, duration_s):
        return not select.select([self.hub], [], [], duration_s)[0]

    def close(self):
        try:
            return super().close()
        finally:
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
