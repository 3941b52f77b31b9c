"""What is on the screen until the window is: the first start compiles for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QColor, QPixmap
from PyQt6.QtWidgets import QApplication, QSplashScreen

from app.gui.theme import DARK

SIZE = 640, 150
TEXT = (
    "SpikeBridge\n\nThe window is made ready. The first start on this machine compiles what draws: "
    "that takes up to a minute, once."
)


@contextmanager
def starting_notice() -> Iterator[None]:
    """Say that something is coming for as long as the block lasts."""
    paper = QPixmap(*SIZE)
    paper.fill(QColor(DARK.raised))
    notice = QSplashScreen(paper)
    centre = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
    notice.showMessage(TEXT, int(centre), QColor(DARK.text))
    notice.show()
    QApplication.processEvents()
    try:
        yield
    finally:
        notice.close()
