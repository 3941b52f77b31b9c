"""The mock ArC ONE over real wires: the bytes of every job it plays, endings, wrong options."""

import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from arc_board_rig import (
    INIT,
    LIMIT_S,
    PULSE_READ,
    READ_1_1,
    READ_12_21,
    RESET,
    TRIPLE_END,
    running,
)

OHM_5000 = bytes.fromhex("00409c45")
OHM_4700 = bytes.fromhex("00e09245")
WIRES = ("pty", "tcp")


@pytest.mark.parametrize("wire", WIRES)
def test_the_connect_sequence_and_a_read_byte_for_byte(wire):
    with running("--initial", "12,21=4700", wire=wire) as board:
        board.send(RESET)
        board.send(INIT)
        assert board.receive(2) == b"1\n"
        board.send(b"01\n2\n0.500000\n")
        board.send(b"999\n")
        assert board.receive(4) == bytes.fromhex("01000300")
        board.send(READ_1_1)
        assert board.receive(4) == OHM_5000
        board.send(READ_12_21)
        assert board.receive(4) == OHM_4700
        assert board.is_silent_for(0.02)


@pytest.mark.parametrize("wire", WIRES)
def test_pulse_and_read_moves_the_device_as_published(wire):
    with running("--initial", "12,21=5000", wire=wire) as board:
        board.say_init()
        before_ns = time.monotonic_ns()
        board.send(PULSE_READ)
        (ohm,) = board.floats(1)
        assert ohm == pytest.approx(5000 * 1.0863, rel=1e-4)
        (pulse,) = board.ask("pulses")["pulses"]
        assert (pulse["wordline"], pulse["bitline"]) == (12, 21)
        assert (pulse["amplitude_v"], pulse["width_s"]) == (1.5, 1e-4)
        assert pulse["before_ohm"] == 5000
        assert pulse["after_ohm"] == pytest.approx(ohm)
        assert before_ns < pulse["time_ns"] < time.monotonic_ns()
        assert board.ask("pulses", skip=1) == {"pulses": []}
        assert board.true_ohm(12, 21) == pytest.approx(ohm)
        assert board.true_ohm(12, 22) == 5000


def test_a_selected_device_is_pulsed_in_silence():
    with running() as board:
        board.say_init()
        board.send(b"04\n-2.000000\n0.000100\n")  # nothing is selected yet
        board.send(b"011\n10\n0\n02\n3\n4\n04\n-2.000000\n0.000100\n")
        board.send(b"1\n3\n4\n")
        assert board.floats(1) == pytest.approx((5000 * 0.644,), rel=1e-3)
        assert board.ask("status")["n_pulses"] == 1


def test_sub_microsecond_widths_need_the_exponent_form():
    with running() as board:
        board.say_init()
        board.send(b"3\n1\n1\n-2.0\n9e-07\n3\n1\n1\n-2.0\n0.000000\n")
        shorter, same = board.floats(2)
        assert shorter < 4995
        assert same == shorter
        assert [p["width_s"] for p in board.ask("pulses")["pulses"]] == [9e-7, 0.0]


def test_read_all_goes_along_the_bit_lines_first():
    with running("--initial", "1,2=6000 2,1=7000 2,3=8000") as board:
        board.say_init()
        board.send(b"2\n1\n2\n3\n")
        assert board.floats(6) == (5000, 6000, 5000, 7000, 5000, 8000)


def test_read_masked_answers_each_device_before_the_next_is_named():
    with running("--initial", "1,2=6000 2,1=7000") as board:
        board.say_init()
        board.send(b"2\n2\n32\n32\n2\n")
        assert board.is_silent_for(0.02)
        board.send(b"1\n2\n")
        assert board.floats(1) == (6000,)
        board.send(b"2\n1\n")
        assert board.floats(1) == (7000,)
        board.send(READ_1_1)
        assert board.receive(4) == OHM_5000


def test_a_read_voltage_changes_what_is_read_and_mode_0_knows_only_half_a_volt():
    with running() as board:
        board.say_init()
        board.send(b"01\n2\n0.3\n" + READ_1_1)
        assert board.floats(1)[0] / 5000 == pytest.approx(1.34, abs=0.005)
        board.send(b"01\n0\n0.3\n" + READ_1_1)
        assert board.receive(4) == OHM_5000


def test_nothing_is_where_no_device_is():
    with running("--n-wordlines", "2", "--n-bitlines", "2") as board:
        board.say_init()
        board.send(b"1\n3\n1\n")
        assert board.floats(1)[0] > 1e8
        assert len(board.ask("devices")["devices"]) == 4


def test_a_curve_is_triples_out_and_back_with_one_end_per_cycle():
    with running("--preset", "A", "--initial", "15,15=4449") as board:
        board.say_init()
        header = ["1.0", "1.0", "0.1", "0.1", "0.001", "0.0", "0", "0", "2", "0", "0", "0", "1"]
        board.send("".join(f"{line}\n" for line in ["201", *header, "15", "15"]).encode())
        cycle = board.receive(4 * 3 * 39)
        assert cycle[-12:] == TRIPLE_END
        points = list(struct.iter_unpack("<3f", cycle[:-12]))
        volts = [round(v, 3) for _, v, _ in points]
        up = [round(0.1 * k, 3) for k in range(1, 11)]
        assert volts == up + up[-2::-1] + [-v for v in up] + [-v for v in up[-2::-1]]
        published = {0.1: 5387.2, 0.5: 3710.8, 1.0: 2490.1, -0.5: 3491.4, -1.0: 2415.1}
        for volt, ohm in published.items():
            read = points[volts.index(volt)][0]
            assert read == pytest.approx(ohm, rel=0.05), volt  # read at slightly other voltages
        assert board.receive(4 * 3 * 39)[-12:] == TRIPLE_END
        assert board.is_silent_for(0.02)


def test_compliance_lowers_the_voltage_and_halt_turns_back():
    with running("--initial", "1,1=4000") as board:
        board.say_init()
        header = b"201\n1.0\n1.0\n0.1\n0.1\n0.001\n0\n0.0002\n-0.0002\n1\n0\n2\n1\n1\n1\n1\n"
        board.send(header)
        points = []
        while (point := board.floats(3)) != (0, 0, 0):
            points.append(point)
        currents = [v / ohm for ohm, v, _ in points]
        assert max(currents) == pytest.approx(2e-4, rel=1e-3)
        top = currents.index(max(currents))
        assert points[top][1] < 1.0
        assert len(points) == 2 * top + 1


def test_before_init_the_board_says_nothing_and_pulses_nothing():
    with running() as board:
        board.send(READ_1_1 + PULSE_READ)
        board.status_when(n_jobs={"1": 1, "3": 1})
        assert board.is_silent_for(0.02)
        assert board.ask("status")["n_pulses"] == 0


def test_a_missing_line_makes_the_board_eat_the_next_job_until_a_reset():
    with running("--initial", "12,1=4700") as board:
        board.say_init()
        board.send(b"1\n12\n")  # and no bit line
        assert board.is_silent_for(0.02)
        board.send(READ_1_1)  # its job code is the bit line; the rest begins another job
        assert board.receive(4) == OHM_4700
        assert board.is_silent_for(0.02)
        board.say_init()
        board.send(READ_1_1)
        assert board.receive(4) == OHM_5000
        assert board.ask("status")["n_resets"] == 2


def test_what_is_no_job_and_what_is_no_number_is_met_with_silence():
    with running() as board:
        board.say_init()
        board.send(b"hello\n\n77\n1\nx\ny\n")
        assert board.floats(1)[0] > 1e8  # word line 0
        board.send(b"3\n1\n1\nnan\ninf\n")
        assert board.receive(4) == OHM_5000
        assert board.ask("pulses")["pulses"][0]["amplitude_v"] == 0


def test_a_job_that_the_mock_does_not_play_hangs_until_a_reset():
    with running() as board:
        board.say_init()
        board.send(b"220\n0.5\n1e-3\n10\n1\n1\n1\n" + READ_1_1)
        board.status_when(n_jobs={"0": 1, "220": 1})
        assert board.is_silent_for(0.02)
        board.say_init()
        board.send(READ_1_1)
        assert board.receive(4) == OHM_5000


def test_a_reset_in_the_middle_of_read_all_ends_it():
    with running("--read-cycle-s", "0.001") as board:
        board.say_init()
        board.send(b"2\n1\n32\n32\n")
        board.floats(1)
        board.send(RESET)
        board.status_when(n_resets=2)
        while not board.is_silent_for(0.1):
            board.wire.read(4096)  # what was on the wire already
        board.say_init()


def test_the_board_is_deaf_while_it_boots():
    with running("--boot-s", "0.2") as board:
        board.send(RESET + INIT)
        status = board.status_when(n_lines=9)
        assert status["n_lines_lost"] == 8
        assert status["n_jobs"] == {}
        deadline_s = time.monotonic() + LIMIT_S
        while board.is_silent_for(0.05):
            board.send(INIT)
            assert time.monotonic() < deadline_s
        assert board.receive(2) == b"1\n"


def test_lines_that_come_too_fast_are_lost_and_paced_ones_are_not():
    with running("--line-gap-s", "0.005") as board:
        board.send(READ_1_1)
        assert board.status_when(n_lines=3)["n_lines_lost"] == 2
        for n, line in enumerate((RESET + INIT).splitlines(keepends=True)):
            time.sleep(0.05)  # the pace is what is tested
            board.send(line)
            board.status_when(n_lines=4 + n)
        assert board.receive(2) == b"1\n"
        assert board.ask("status")["n_lines_lost"] == 2


def test_a_client_may_close_the_terminal_and_open_it_again():
    with running() as board:
        board.say_init()
        for _ in range(3):
            board.reconnect()
            board.send(READ_1_1)
            assert board.receive(4) == OHM_5000
        assert termios.tcgetattr(board.wire.fd)[3] & (termios.ECHO | termios.ICANON) == 0


def test_a_second_tcp_client_waits_until_the_first_has_left():
    with running(wire="tcp") as board:
        board.say_init()
        first, board.wire = board.wire, board.connect()
        board.send(READ_1_1)
        assert board.is_silent_for(0.05)
        first.close()
        assert board.receive(4) == OHM_5000


def test_raw_bytes_pass_the_terminal_unchanged():
    resistances = [struct.unpack("<f", bytes.fromhex(h))[0] for h in ("0d0a0346", "11130446")]
    places = " ".join(f"{w},1={ohm!r}" for w, ohm in enumerate(resistances, 1))
    with running("--initial", places) as board:
        board.say_init()
        board.send(b"2\n1\n2\n1\n")
        assert board.receive(8).hex() == "0d0a034611130446"


def test_two_boards_of_one_seed_read_the_same():
    def readings(seed):
        with running("--noise", "full", "--scatter", "--seed", seed) as board:
            return [d["resistance_ohm"] for d in board.ask("devices")["devices"]]

    first = readings("5")
    assert readings("5") == first
    assert readings("6") != first
    assert len(set(first)) > 900


def test_the_truth_refuses_nonsense():
    with running() as board:
        assert "unknown question" in board.ask("weather")["error"]
        assert "unknown question" not in board.ask("status", skip="x")["error"]


def test_the_process_ends_with_its_standard_input_and_takes_its_link_away(tmp_path):
    link = tmp_path / "arc"
    with running("--pty-link", str(link)) as board:
        assert board.ready["pty"] == str(link)
        assert link.is_symlink()
    assert board.process.returncode == 0
    assert not link.is_symlink()


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_client_is_told_when_the_board_dies(wire, number):
    with running(wire=wire) as board:
        board.process.send_signal(number)
        assert board.process.wait(LIMIT_S) == (0 if number == signal.SIGTERM else -number)
        assert board.is_hung_up()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "give --pty or --tcp"),
        (["--pty", "--initial", "33,1=5000"], "no device at W33 B1"),
        (["--pty", "--initial", "1,1=nan"], "use 10 to 1e+09 ohm"),
        (["--pty", "--n-wordlines", "33"], "use 1 to 32"),
        (["--pty", "--boot-s", "-1"], "use 0 to 60 s"),
        (["--pty", "--preset", "Z"], "invalid choice"),
        (["--pty", "--faults", '[{"kind": "explode"}]'], "explode"),
    ],
)
def test_wrong_options_end_with_a_usage_text(options, says):
    command = [sys.executable, "-m", "mocks.arc_board", *options]
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    assert says in ended.stderr
