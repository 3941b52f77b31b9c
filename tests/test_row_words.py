"""What consoles are shown of the record's rows."""

import pytest

from app.console.happenings import DevicePulse, DeviceRead, Hole, LogLine
from app.engine.row_words import happening_of
from app.engine.site_links import GATE_STATE_CODE
from app.recording.rows import (
    ArmingRow,
    DevicePulseRow,
    DeviceReadRow,
    GapRow,
    HoleRow,
    InputRow,
    LinkRow,
    NoteRow,
)


@pytest.mark.parametrize(
    ("row", "level", "text"),
    [
        (ArmingRow(1, "armed", "Ada", "first run"), "info", "ARMED by Ada: first run"),
        (ArmingRow(1, "tripped", "", "console gone"), "error", "TRIPPED: console gone"),
        (NoteRow(1, "Ada", "medium changed"), "info", "medium changed"),
        (LinkRow(1, "zurich", "down", "silent"), "warning", "down: silent"),
        (LinkRow(1, "zurich", "hello", "session ab"), "info", "introduced itself"),
        (GapRow(1, "mea1", 900, 100), "warning", "100 samples lost before sample 900"),
        (GapRow(1, "mea1", 0, -1), "warning", "an unknown number of samples lost before sample 0"),
    ],
)
def test_rows_are_said_in_words(row: object, level: str, text: str) -> None:
    line = happening_of(row)
    assert isinstance(line, LogLine)
    assert (line.level, line.text) == (level, text)


def test_another_sites_gate_is_said_by_its_state() -> None:
    for state, code in GATE_STATE_CODE.items():
        line = happening_of(LinkRow(1, "zurich", "gate", f"{code}, stop mark 00000000"))
        assert isinstance(line, LogLine)
        expected = "STARTING" if state.value == "boot" else state.value.upper()
        assert line.text == f"its site is {expected}"


def test_reads_pulses_and_holes_keep_their_figures() -> None:
    read = happening_of(DeviceReadRow(1, "arc1", 12, 21, 4700.0, 0.5, "idle"))
    assert isinstance(read, DeviceRead)
    assert (read.wordline, read.bitline, read.resistance_ohm) == (12, 21, 4700.0)
    row = DevicePulseRow(
        1, 1, "arc1", "w12b21", 7, 12, 21, 1.5, 1e-4, "LTD", 9e3, 8e3, "moved", "", 3
    )
    pulse = happening_of(row)
    assert isinstance(pulse, DevicePulse)
    assert (pulse.synapse, pulse.direction, pulse.after_ohm) == (7, "LTD", 8e3)
    hole = happening_of(HoleRow(5, 7, 1, 4, "link zurich: gone"))
    assert isinstance(hole, Hole)
    assert (hole.from_ns, hole.to_ns) == (1, 4)


def test_rows_that_no_person_reads_live_are_not_shown() -> None:
    assert happening_of(InputRow(1, 1, "tick", b"")) is None
