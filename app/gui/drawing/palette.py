"""The colours of what is drawn, for dark and for light rooms, as 0xAARRGGBB."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours by meaning. Red is kept for what is missing or wrong."""

    name: str
    background: int
    separator: int
    """Between cells and lanes."""
    text: int
    muted: int
    """Channels without detection, secondary text."""
    trace: int
    spike: int
    clipped: int
    """Where a trace leaves its scale."""
    gap: int
    """Background where data are declared missing."""
    missed: int
    """Background where this window was not sent what the engine has."""
    stimulus: int
    artefact: int
    withheld: int
    """A trace during stimuli and artefacts, where no spikes are looked for."""
    selected: int
    stimulated_spike: int
    delivered_psp: int
    sites: tuple[int, ...]
    """Events of the first, second, ... site."""


DARK = Palette(
    name="dark",
    background=0xFF12161C,
    separator=0xFF262D37,
    text=0xFFD8DEE6,
    muted=0xFF5C6773,
    trace=0xFF8FB4D9,
    spike=0xFFFFD166,
    clipped=0xFFE07A5F,
    gap=0xFF7A1E24,
    missed=0xFF3A3F47,
    stimulus=0xFF2A4D3A,
    artefact=0xFF3D3A22,
    withheld=0xFF4E6F60,
    selected=0xFFFFFFFF,
    stimulated_spike=0xFF7BD88F,
    delivered_psp=0xFFC792EA,
    sites=(0xFF8FB4D9, 0xFFE5A572, 0xFF8CCFBE, 0xFFD9A0C4, 0xFFC9C27A, 0xFFA7A9F0),
)
LIGHT = Palette(
    name="light",
    background=0xFFFCFCFA,
    separator=0xFFE1E3E6,
    text=0xFF20262E,
    muted=0xFF9AA3AD,
    trace=0xFF1F5A94,
    spike=0xFFB35900,
    clipped=0xFFC0392B,
    gap=0xFFF2A3A0,
    missed=0xFFD5D8DC,
    stimulus=0xFFCBE8D3,
    artefact=0xFFF1E9C0,
    withheld=0xFF93BDA3,
    selected=0xFF000000,
    stimulated_spike=0xFF1E8449,
    delivered_psp=0xFF7D3C98,
    sites=(0xFF1F5A94, 0xFFA85A16, 0xFF1B7F6B, 0xFF9B3F7E, 0xFF77700F, 0xFF4B4EB8),
)


def palette_named(name: str) -> Palette:
    """Return the palette that goes with the window's theme of this name."""
    return DARK if name == "dark" else LIGHT
