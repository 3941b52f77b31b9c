"""The mock ArC ONE's fault plan: what a client finds on the wire when something goes wrong.

In each plan reply 1 is the answer to init; requests 1 to 9 are the lines of reset and init.
"""

import struct
import time

import pytest
from arc_board_rig import LIMIT_S, READ_1_1, READ_12_21, running

OHM_5000 = bytes.fromhex("00409c45")
NAN = "0000c07f"
WIRES = ("pty", "tcp")


def reply(kind, **more):
    return {"kind": kind, "on": "reply", "at": 2, **more}


def request(kind, at=10, **more):
    return {"kind": kind, "on": "request", "at": at, **more}


def recovers(board):
    """Do what a driver does after anything strange: reset, init, one read."""
    board.say_init()
    board.send(READ_1_1)
    return board.receive(4) == OHM_5000


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        (reply("drop"), b""),
        (reply("drop_bytes", n_bytes=2, offset=1), bytes.fromhex("0045")),
        (reply("garbage"), bytes.fromhex("ff0a00") + OHM_5000),
        (reply("replace", data_hex=NAN), bytes.fromhex(NAN)),
        (reply("duplicate"), OHM_5000 + OHM_5000),
    ],
)
def test_a_spoilt_reply_and_the_way_out(wire, fault, heard):
    with running(faults=[fault], wire=wire) as board:
        board.say_init()
        board.send(READ_1_1)
        assert board.receive(len(heard)) == heard
        assert board.is_silent_for(0.03)
        assert recovers(board)


def test_a_whole_stream_of_replies_may_lose_bytes():
    with running(faults=[reply("drop_bytes", count=3)]) as board:
        board.say_init()
        board.send(b"2\n1\n2\n2\n")
        assert board.receive(13) == OHM_5000[1:] * 3 + OHM_5000


def test_a_dropped_line_desynchronises_for_good():
    with running("--initial", "12,1=4700", faults=[request("drop", at=12)]) as board:
        board.say_init()
        board.send(READ_12_21)  # its bit line is lost
        assert board.is_silent_for(0.03)
        board.send(READ_1_1)
        assert board.floats(1) == (4700,)
        assert board.ask("status")["n_lines_lost"] == 1
        assert recovers(board)


def test_a_lost_line_end_joins_two_lines():
    fault = request("drop_bytes", at=11, offset=1)  # "1\n2\n1\n" arrives as "1\n21\n"
    with running("--initial", "21,1=4700", faults=[fault]) as board:
        board.say_init()
        board.send(b"1\n2\n1\n")
        assert board.is_silent_for(0.03)
        board.send(b"1\n")
        assert board.floats(1) == (4700,)


def test_a_doubled_line_is_one_line_too_many():
    with running("--initial", "12,12=4700", faults=[request("duplicate", at=11)]) as board:
        board.say_init()
        board.send(READ_12_21)
        assert board.floats(1) == (4700,)
        assert board.status_when(n_lines=12)["n_jobs"] == {"0": 1, "1": 1, "21": 1}


def test_garbage_with_a_line_end_in_it_is_a_line():
    with running(faults=[request("garbage", data_hex="ff0a")]) as board:
        board.say_init()
        board.send(READ_1_1)
        assert board.receive(4) == OHM_5000
        assert board.ask("status")["n_jobs"] == {"0": 1, "1": 1, "\xff": 1}


@pytest.mark.parametrize(
    "fault", [reply("delay", duration_s=0.2), request("stall", duration_s=0.2)]
)
def test_an_answer_may_come_late(fault):
    with running(faults=[fault]) as board:
        board.say_init()
        asked_s = time.monotonic()
        board.send(READ_1_1)
        assert board.is_silent_for(0.1)
        assert board.receive(4) == OHM_5000
        assert time.monotonic() - asked_s >= 0.19


def test_during_a_stall_even_a_reset_waits_and_nothing_is_lost():
    with running(faults=[reply("stall", duration_s=0.3)]) as board:
        board.say_init()
        board.send(READ_1_1)
        assert board.receive(4) == OHM_5000
        board.send(b"00\n0\n50\n32\n32\n2\n0\n1\n0.5\n" + READ_1_1)
        assert board.is_silent_for(0.15)
        assert board.ask("status")["n_resets"] == 1
        assert board.receive(6) == b"1\n" + OHM_5000
        assert board.ask("status")["n_lines_lost"] == 0


def test_a_board_that_resets_itself_forgets_init():
    with running(faults=[reply("reset")]) as board:
        board.say_init()
        board.send(READ_1_1)
        board.receive(4)
        board.status_when(n_resets=2)
        board.send(READ_1_1)
        assert board.is_silent_for(0.05)
        assert recovers(board)


def test_a_reset_in_the_middle_of_a_job_loses_its_replies():
    with running("--read-cycle-s", "0.001", faults=[reply("reset", at=4)]) as board:
        board.say_init()
        board.send(b"2\n1\n3\n3\n")
        board.status_when(n_resets=2)
        assert len(board.receive(9 * 4, limit_s=0.1)) <= 3 * 4
        assert recovers(board)


def test_timed_faults_strike_by_the_clock():
    faults = [
        {"kind": "garbage", "on": "time", "at": 0.3, "data_hex": "aabb"},
        {"kind": "reset", "on": "time", "at": 0.4},
    ]
    with running(faults=faults) as board:
        board.send(b"hello\n")
        assert board.receive(2).hex() == "aabb"
        assert board.status_when(n_resets=1)["n_faults_struck"] == 2


def test_a_tcp_client_is_dropped_and_refused_for_a_time():
    with running(faults=[reply("disconnect", duration_s=0.2)], wire="tcp") as board:
        board.say_init()
        asked_s = time.monotonic()
        board.send(READ_1_1)
        board.receive(4)
        assert board.is_hung_up()
        board.reconnect()
        assert time.monotonic() - asked_s >= 0.2
        assert recovers(board)


def test_an_unplugged_terminal_comes_back_where_its_link_leads(tmp_path):
    faults = [reply("disconnect", duration_s=0.2)]
    with running("--pty-link", str(tmp_path / "arc"), faults=faults) as board:
        board.say_init()
        board.send(READ_1_1)
        assert board.is_hung_up()
        board.reconnect()
        assert recovers(board)


def test_without_a_link_a_terminal_is_only_cut_off_for_a_time():
    with running(faults=[reply("disconnect", duration_s=0.2)]) as board:
        board.say_init()
        board.send(READ_1_1)
        board.receive(4)
        board.send(READ_1_1)
        assert board.is_silent_for(0.1)
        deadline_s = time.monotonic() + LIMIT_S
        while board.is_silent_for(0.05):
            board.send(READ_1_1)
            assert time.monotonic() < deadline_s
        assert board.receive(4) == OHM_5000


def test_a_random_plan_never_stops_the_board():
    plan = {"seed": 3, "n_faults": 40, "within": 120, "on": "request"}
    with running("--boot-s", "0.01", faults=plan) as board:
        for k in range(60):
            board.send(b"3\n%d\n%d\n1.2\n1e-6\n" % (k % 32 + 1, k % 7 + 1))
        board.status_when(n_lines=300)
        while not board.is_silent_for(0.1):
            board.receive(4096, limit_s=0.05)
        board.send(b"\n00\n")
        board.status_when(n_resets=1)
        time.sleep(0.02)  # it boots
        board.send(b"0\n50\n32\n32\n2\n0\n1\n0.5\n")
        assert board.receive(2) == b"1\n"
        board.send(READ_1_1)
        assert struct.unpack("<f", board.receive(4))[0] > 0
