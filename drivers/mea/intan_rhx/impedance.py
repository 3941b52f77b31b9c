"""RHX's impedance check: it measures on command, and tells the values in a file of its own.

Source: Intan RHX software user guide, version 3.4, remote TCP control (MeasureImpedance,
SaveImpedance, DesiredImpedanceFreqHertz, ImpedanceFilename). No parameter tells a measured value
over the command port, so the file that SaveImpedance writes must be readable from here.

The chip's own converter drives up to 0.61 V through 0.1, 1 and 10 pF into one electrode of each
chip after the other (RHD2000 and RHS2116 data sheets): at 1 kHz at most 38 nA, 12 pC per half wave.
"""

import csv
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from drivers.errors import InstrumentProtocolError, InstrumentTimeoutError, SafetyLimitError
from drivers.mea.intan_rhx.conversation import Conversation
from drivers.mea.protocol import ElectrodeImpedance, ImpedanceCheck
from drivers.permit import MeasureImpedance, Permit

POLL_S = 0.05
MAGNITUDE, PHASE = "Impedance Magnitude at ", "Impedance Phase at "
"""How the two columns' titles begin; a frequency follows."""


class ImpedanceReader:
    """Has one stopped RHX measure, and reads what it wrote. Used by one thread at a time."""

    def __init__(self, conversation: Conversation, sleep: Callable[[float], None]) -> None:
        self._name = conversation.name
        self._settings = conversation.settings
        self._conversation = conversation
        self._sleep = sleep
        self._ready: tuple[float, float, Path] | None = None
        """The frequency that was asked for, the one it would be, and RHX's next file."""

    def prepare(self, frequency_hz: float) -> float:
        """Name the file and choose the frequency. Raises as `MeasuresImpedance`."""
        settings = self._settings
        self._ready = None
        if not (0 < frequency_hz < math.inf):
            raise SafetyLimitError(
                f"{self._name}: impedance at {frequency_hz:g} Hz, allowed is a finite frequency "
                "above 0 Hz; correct it"
            )
        if not settings.impedance_folder:
            raise SafetyLimitError(
                f"{self._name}: RHX writes impedances into a file, and no folder is named for it"
            )
        base = f"{self._name}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        file = Path(settings.impedance_folder_here or settings.impedance_folder) / f"{base}.csv"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise SafetyLimitError(f"{self._name}: no folder for impedances: {exc}") from exc
        self._name_file(base)
        actual_hz = self._choose_frequency(frequency_hz)
        self._ready = (frequency_hz, actual_hz, file)
        return actual_hz

    def measure_impedance(self, permit: Permit) -> ImpedanceCheck:
        """Measure every channel that is read. Raises as `MeasuresImpedance`."""
        action, ready = permit.action, self._ready
        if not isinstance(action, MeasureImpedance):
            raise SafetyLimitError(f"{self._name}: cannot do {action}")
        if ready is None or ready[0] != action.frequency_hz:
            raise SafetyLimitError(f"{self._name}: not made ready for {action.frequency_hz:g} Hz")
        self._ready = None
        _, actual_hz, file = ready
        permit.spend(self._name)
        ask, settings = self._conversation.ask, self._settings
        ask(("execute MeasureImpedance",), "RunMode", settings.impedance_timeout_s)
        ask(("execute SaveImpedance",), "RunMode", settings.upload_timeout_s)
        text = self._await_file(file)
        return ImpedanceCheck(actual_hz, parse(self._name, text, settings.channels))

    def _name_file(self, base: str) -> None:
        for parameter, value in (("Path", self._settings.impedance_folder), ("BaseFilename", base)):
            full = f"ImpedanceFilename.{parameter}"
            told = self._conversation.ask((f"set {full} {value}",), full)
            if told != value:
                raise SafetyLimitError(f"{self._name}: {full} is {told!r} instead of {value!r}")

    def _choose_frequency(self, wanted_hz: float) -> float:
        """Set the frequency; RHX takes the nearest whole number of samples in a period."""
        command = f"set DesiredImpedanceFreqHertz {wanted_hz:g}"
        is_valid, actual = self._conversation.ask_after(
            command, ("ImpedanceFreqValid", "ActualImpedanceFreqHertz")
        )
        try:
            actual_hz = float(actual)
        except ValueError:
            actual_hz = float("nan")
        if is_valid.lower() != "true" or not (0.5 <= actual_hz / wanted_hz <= 2.0):
            raise SafetyLimitError(
                f"{self._name}: RHX cannot measure at {wanted_hz:g} Hz (it would at {actual} Hz); "
                "choose a frequency within the amplifier's bandwidth"
            )
        return actual_hz

    def _await_file(self, file: Path) -> str:
        """Return what RHX wrote. It says nothing when it cannot write."""
        deadline_s = time.monotonic() + self._settings.reply_timeout_s
        before = ""
        while True:
            text = self._read(file)
            if text and text == before:
                return text
            before = text
            if time.monotonic() > deadline_s:
                raise InstrumentTimeoutError(
                    f"{self._name}: measured, but {file} did not appear; RHX must be able to write "
                    f"to {self._settings.impedance_folder}, and this computer to read it here"
                )
            self._sleep(POLL_S)

    def _read(self, file: Path) -> str:
        """Return what the file holds; nothing if it is not there yet."""
        try:
            return file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        except OSError as exc:
            raise InstrumentProtocolError(
                f"{self._name}: measured, but {file} cannot be read: {exc}; let this computer read "
                "what RHX writes"
            ) from exc


def parse(name: str, text: str, channels: tuple[str, ...]) -> tuple[ElectrodeImpedance, ...]:
    """Return the impedances of these channels, in their order, from RHX's file.

    Raises
    ------
    InstrumentProtocolError
        It is no such file, a value is none, or a channel is missing.
    """
    rows = list(csv.reader(text.splitlines()))
    titles = rows[0] if rows else []
    columns = [
        next((i for i, title in enumerate(titles) if title.strip().startswith(begin)), None)
        for begin in (MAGNITUDE, PHASE)
    ]
    magnitude, phase = columns
    if magnitude is None or phase is None:
        raise InstrumentProtocolError(f"{name}: not RHX's impedance file: {text[:99]!r}")
    told: dict[str, ElectrodeImpedance] = {}
    for row in rows[1:]:
        if row:
            told[row[0]] = _electrode(name, row, magnitude, phase)
    missing = [channel for channel in channels if channel not in told]
    if missing:
        raise InstrumentProtocolError(f"{name}: no impedance of {', '.join(missing)} in the file")
    return tuple(told[channel] for channel in channels)


def _electrode(name: str, row: list[str], magnitude: int, phase: int) -> ElectrodeImpedance:
    try:
        ohm, deg = float(row[magnitude]), float(row[phase])
    except (ValueError, IndexError) as exc:
        raise InstrumentProtocolError(f"{name}: not an impedance: {row}") from exc
    if not (0 <= ohm <= 1e12 and -360 <= deg <= 360):
        raise InstrumentProtocolError(f"{name}: not an impedance: {row}")
    return ElectrodeImpedance(row[0], ohm, deg)
