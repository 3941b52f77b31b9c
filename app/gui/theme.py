"""The window's colours and style, dark and light. Colour never says what no word says."""

from dataclasses import dataclass

from PyQt6.QtGui import QColor, QPalette
from PyQt6.QtWidgets import QApplication


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours by meaning, as CSS. `unknown` is for whatever is not known to be well."""

    name: str
    window: str
    panel: str
    raised: str
    border: str
    text: str
    muted: str
    accent: str
    good: str
    warning: str
    bad: str
    armed: str
    unknown: str
    on_strong: str
    """Text on `good`, `bad` and `armed`."""


DARK = Theme(
    name="dark",
    window="#0e1217",
    panel="#151a21",
    raised="#1f2630",
    border="#2b3440",
    text="#dde3ea",
    muted="#8a95a3",
    accent="#6ea8dc",
    good="#3f9d74",
    warning="#d9a441",
    bad="#d64545",
    armed="#e07b2a",
    unknown="#59636f",
    on_strong="#ffffff",
)
LIGHT = Theme(
    name="light",
    window="#eceef1",
    panel="#fbfbfa",
    raised="#ffffff",
    border="#cdd3da",
    text="#1d242d",
    muted="#5d6874",
    accent="#1f6099",
    good="#20774f",
    warning="#9a6700",
    bad="#c22f2f",
    armed="#b85510",
    unknown="#7c8792",
    on_strong="#ffffff",
)
THEMES = {theme.name: theme for theme in (DARK, LIGHT)}


def apply_theme(application: QApplication, theme: Theme) -> None:
    """Give the whole application a theme; costs nothing if it has it already."""
    if application.property("theme") == theme.name:
        return
    application.setProperty("theme", theme.name)
    application.setStyle("Fusion")
    palette = QPalette()
    roles = {
        QPalette.ColorRole.Window: theme.window,
        QPalette.ColorRole.Base: theme.panel,
        QPalette.ColorRole.AlternateBase: theme.raised,
        QPalette.ColorRole.Button: theme.raised,
        QPalette.ColorRole.WindowText: theme.text,
        QPalette.ColorRole.Text: theme.text,
        QPalette.ColorRole.ButtonText: theme.text,
        QPalette.ColorRole.ToolTipBase: theme.raised,
        QPalette.ColorRole.ToolTipText: theme.text,
        QPalette.ColorRole.PlaceholderText: theme.muted,
        QPalette.ColorRole.Highlight: theme.accent,
        QPalette.ColorRole.HighlightedText: theme.on_strong,
        QPalette.ColorRole.Link: theme.accent,
    }
    for role, colour in roles.items():
        palette.setColor(role, QColor(colour))
    disabled = QPalette.ColorGroup.Disabled
    for role in (QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
        palette.setColor(disabled, role, QColor(theme.unknown))
    application.setPalette(palette)
    application.setStyleSheet(_sheet(theme))


def _sheet(t: Theme) -> str:
    return f"""
    QWidget {{ font-size: 10pt; color: {t.text}; }}
    QMainWindow, QDialog {{ background: {t.window}; }}
    QDockWidget {{ font-weight: 600; color: {t.muted}; }}
    QDockWidget::title {{ background: {t.window}; padding: 5px 8px; text-align: left; }}
    QMainWindow::separator {{ background: {t.window}; width: 6px; height: 6px; }}
    QScrollArea, QFrame#panel {{ background: {t.panel}; border: none; }}
    QFrame#card {{ background: {t.raised}; border: 1px solid {t.border}; border-radius: 6px; }}
    QFrame#topbar {{ background: {t.panel}; border-bottom: 1px solid {t.border}; }}
    QLabel[role="muted"] {{ color: {t.muted}; }}
    QLabel[role="heading"] {{ color: {t.muted}; font-weight: 600; }}
    QLabel[role="value"] {{ font-size: 15pt; font-weight: 600; }}
    QLabel[role="refused"] {{ color: {t.bad}; }}
    QLabel[role="words"] {{ color: {t.accent}; }}
    QLabel[tone="good"] {{ color: {t.good}; }}
    QLabel[tone="warning"] {{ color: {t.warning}; }}
    QLabel[tone="bad"] {{ color: {t.bad}; }}
    QLabel[tone="unknown"] {{ color: {t.unknown}; }}
    QLabel#state {{ border-radius: 6px; padding: 6px 16px; font-size: 20pt; font-weight: 700;
        color: {t.on_strong}; background: {t.unknown}; }}
    QLabel#state[tone="disarmed"] {{ background: {t.raised}; color: {t.text};
        border: 2px solid {t.muted}; }}
    QLabel#state[tone="armed"] {{ background: {t.armed}; }}
    QLabel#state[tone="tripped"] {{ background: {t.bad}; }}
    QPushButton {{ background: {t.raised}; border: 1px solid {t.border}; border-radius: 5px;
        padding: 6px 12px; }}
    QPushButton:hover {{ border-color: {t.accent}; }}
    QPushButton:focus {{ border: 2px solid {t.accent}; padding: 5px 11px; }}
    QPushButton:disabled {{ color: {t.unknown}; }}
    QPushButton#abort {{ background: {t.bad}; color: {t.on_strong}; font-weight: 700; }}
    QPushButton#stop {{ background: {t.bad}; color: {t.on_strong}; font-size: 15pt;
        font-weight: 800; border: 3px solid {t.bad}; border-radius: 8px; padding: 8px 22px; }}
    QPushButton#stop:hover, QPushButton#stop:focus {{ border-color: {t.text}; padding: 8px 22px; }}
    QPushButton#site {{ border-radius: 0; border: none; background: transparent; padding: 6px 14px;
        color: {t.muted}; font-size: 12pt; font-weight: 600; }}
    QPushButton#site:checked {{ color: {t.text}; border-bottom: 3px solid {t.accent}; }}
    QLineEdit, QPlainTextEdit, QComboBox {{ background: {t.window}; border: 1px solid {t.border};
        border-radius: 4px; padding: 4px 6px; selection-background-color: {t.accent}; }}
    QLineEdit:focus, QPlainTextEdit:focus, QComboBox:focus {{ border: 1px solid {t.accent}; }}
    QLineEdit[isRefused="true"] {{ border: 2px solid {t.bad}; }}
    QTableView, QTreeView {{ background: {t.panel}; alternate-background-color: {t.raised};
        border: none; gridline-color: {t.border}; selection-background-color: {t.accent}; }}
    QHeaderView::section {{ background: {t.panel}; color: {t.muted}; border: none;
        border-bottom: 1px solid {t.border}; padding: 4px 6px; font-weight: 600; }}
    QLabel[role="title"] {{ font-size: 12pt; font-weight: 600; }}
    QTabBar {{ qproperty-drawBase: 0; background: {t.window}; }}
    QTabBar::tab {{ background: {t.window}; color: {t.muted}; padding: 6px 12px; border: none; }}
    QTabBar::tab:selected {{ color: {t.text}; border-bottom: 2px solid {t.accent}; }}
    QToolTip {{ background: {t.raised}; color: {t.text}; border: 1px solid {t.border};
        padding: 4px; }}
    QStatusBar {{ background: {t.window}; color: {t.muted}; }}
    QMenuBar {{ background: {t.window}; }}
    """
