"""The pictures of the documentation: made offscreen, the same every time, of every panel."""

from pathlib import Path

from PyQt6.QtGui import QImage
from pytestqt.qtbot import QtBot

from app.gui.commands import CHAIN
from app.gui.scene.screenshots import PICTURES, make_screenshots


def test_pictures_are_the_same_every_time_and_show_something(qtbot: QtBot, tmp_path: Path) -> None:
    names = ("traces", "synapses", "links")
    first = make_screenshots(tmp_path / "first", CHAIN, names)
    second = make_screenshots(tmp_path / "second", CHAIN, names)
    for one, other in zip(first, second, strict=True):
        image = QImage(str(one))
        assert (image.width(), image.height()) == (1600, 900)
        assert image == QImage(str(other)), one.stem
        colours = {image.pixel(x, y) for x in range(0, 1600, 7) for y in range(60, 900, 7)}
        assert len(colours) > 30, one.stem


def test_the_pictures_of_the_documentation_are_there() -> None:
    pictures = Path(__file__).parents[1] / "docs" / "pictures"
    assert {path.stem for path in pictures.glob("*.png")} >= set(PICTURES)
