"""Numbers that people type: every field, in every country, means what it says or refuses."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from gui_rig import ScriptedEngine, window_on
from PyQt6.QtCore import QLocale, QPoint, QPointF, Qt
from PyQt6.QtGui import QGuiApplication, QWheelEvent
from PyQt6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.gui.number_field import NumberField
from app.gui.numbers import NotANumber, in_words, parse_number

LOCALES = ("C", "en_US", "de_DE", "de_CH", "fr_FR", "pt_BR", "hi_IN", "ar_EG")
GOOD = {"1.5": 1.5, "2": 2.0, "1e1": 10.0, " 3 ": 3.0, "+4": 4.0, "0.50": 0.5, ".5": 0.5}
BAD = (
    "", " ", "1,5", "1 000", "1.000,5", "1_5", "١٫٥", "１２", "−1", "1\u2009000", "\u202e5",
    "nan", "inf", "1e999", "1e-400x", "0x10", "1.5.5", "--1", "1e", "e1", "True", "1" * 100_000,
    "1\n2", "1;2", "1 µA", "½",
)  # fmt: skip


@pytest.fixture(params=LOCALES)
def country(request: pytest.FixtureRequest) -> Iterator[str]:
    old = QLocale()
    QLocale.setDefault(QLocale(request.param))
    yield request.param
    QLocale.setDefault(old)


def test_every_string_means_the_same_in_every_country(qtbot: QtBot, country: str) -> None:
    field = NumberField("Current", 0.01, 100, "uA")
    qtbot.addWidget(field)
    for text, value in GOOD.items():
        field.edit.setText(text)
        assert field.value == value, (country, text)
        field.edit.clear()
        qtbot.keyClicks(field.edit, text)
        assert field.value == value, (country, text, "typed")
    for text in BAD:
        field.edit.setText(text)
        assert field.value is None, (country, text)
        assert field.said


def test_pasting_is_the_same_as_typing(qtbot: QtBot) -> None:
    field = NumberField("Current", 0.01, 100, "uA")
    qtbot.addWidget(field)
    clipboard = QGuiApplication.clipboard()
    for text in ("1,5", "1 000", "１２", "2.5"):
        clipboard.setText(text)
        field.edit.clear()
        field.edit.paste()
        assert field.value == (2.5 if text == "2.5" else None)


def test_the_wheel_changes_nothing(qtbot: QtBot) -> None:
    field = NumberField("Current", 0.01, 100, "uA", text="2")
    qtbot.addWidget(field)
    field.show()
    for has_focus in (False, True):
        if has_focus:
            field.edit.setFocus()
        for widget in (field, field.edit):
            QApplication.sendEvent(widget, _wheel())
            assert field.value == 2.0
    for key in (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp):
        qtbot.keyClick(field.edit, key)
        assert field.value == 2.0


def _wheel() -> QWheelEvent:
    return QWheelEvent(
        QPointF(5, 5), QPointF(5, 5), QPoint(0, 120), QPoint(0, 120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("0", 0.01, 1), ("1.01", 0, 1), ("-1", 0, 1), ("1e300", 0, 1), ("nan", 0, 1)],
)
def test_limits_refuse_and_never_clip(text: str, low: float, high: float) -> None:
    refused = parse_number(text, low, high, "uA")
    assert isinstance(refused, NotANumber)
    assert refused.sentence


def test_whole_numbers_are_whole() -> None:
    assert parse_number("3", 1, 10, is_whole=True) == 3.0
    assert isinstance(parse_number("3.5", 1, 10, is_whole=True), NotANumber)


def test_no_limit_lets_a_number_through_that_is_not_one() -> None:
    for text in ("1e999", "-1e999"):
        assert isinstance(parse_number(text, -math.inf, math.inf), NotANumber)


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (2.0, "uA", "2 microampere"), (200.0, "us", "200 microsecond"), (60.0, "min", "60 minute"),
        (0.15, "nC", "0.15 nanocoulomb"), (3.0, "", "3"), (5.0, "ms", "5 millisecond"),
    ],
)  # fmt: skip
def test_values_are_said_in_words(value: float, unit: str, words: str) -> None:
    assert in_words(value, unit) == words


def test_every_field_of_the_window_refuses_the_same(qtbot: QtBot, tmp_path: Path) -> None:
    """All number fields that the window has, found in it, not listed here."""
    old = QLocale()
    with window_on(qtbot, ScriptedEngine(), tmp_path) as window:
        fields = window.findChildren(NumberField)
        assert len(fields) >= 9
        try:
            for name in LOCALES:
                QLocale.setDefault(QLocale(name))
                for field in fields:
                    for text in BAD:
                        field.edit.setText(text)
                        assert field.value is None, (name, field.toolTip(), text)
        finally:
            QLocale.setDefault(old)


def test_a_pattern_is_judged_as_it_is_typed(qtbot: QtBot, tmp_path: Path) -> None:
    with window_on(qtbot, ScriptedEngine(), tmp_path) as window:
        window.view.show_panel("Instruments")
        editor = window.view.instruments.editor
        qtbot.waitUntil(lambda: editor.choice.count() == 1, timeout=5_000)
        assert editor.verdict.text() == "Within this site's limits."
        assert "0.4 nC per phase" in editor.figures.text() or "400 pC" in editor.figures.text()
        first = editor.fields["first_amplitude_a"].edit
        first.setText("20")
        assert "max_current_a" in editor.verdict.text()
        assert not editor.copy.isEnabled()
        first.setText("2,0")
        assert "not understood" in editor.verdict.text()
        first.setText("1.9")
        assert "differ by" in editor.verdict.text()
        first.setText("2")
        assert editor.copy.isEnabled()
        assert not editor.trigger.isEnabled()  # not armed
        editor.set_state(is_armed=True, why_no_upload="")
        assert editor.trigger.isEnabled()
        first.setText("2.01")
        assert not editor.trigger.isEnabled()  # the amplifier holds another one
