"""The ArC ONE's serial protocol: values to lines, bytes to values. No I/O.

Source: read from the vendor's own clients (arc1_pyqt 2.0.0rc3, libarc1 0.1.0) and the board's
manual; the firmware is closed. The host sends ASCII lines, each ended by one LF: a job code and a
fixed number of parameters, which the board counts. It answers with bare little-endian float32:
no framing, no length, no checksum, no acknowledgement and no error report of any kind.
"""

import enum
import math
import struct
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from drivers.errors import InstrumentProtocolError

BAUD_RATE = 921_600

MAX_VOLTAGE_V = 12.0
MIN_PULSE_WIDTH_S = 90e-9
MAX_PULSE_WIDTH_S = 10.0
CURVE_OVERHEAD_S = 2e-3
"""The board takes so much longer for a step of a curve than it is told to."""
MIN_CURVE_WIDTH_S = 3e-3
MIN_CURVE_V = 0.05
MIN_COMPLIANCE_A = 10e-6
MAX_COMPLIANCE_A = 1e-3
N_CURVE_STEP_VALUES = 6
MAX_LINE = 32
"""Word and bit lines count from 1 to 32."""

MIN_RESISTANCE_OHM = 100.0
MAX_RESISTANCE_OHM = 100e6
"""The vendor's sanity window; what lies outside is not a reading."""

N_BYTES_PER_VALUE = 4
N_FIRMWARE_BYTES = 4
INIT_ACCEPTED = b"1"
LONGEST_JOB_N_PARAMETERS = 13
"""FormFinder, SwitchSeeker, CurveTracer and ConvergeToState take so many lines."""

Lines = tuple[bytes, ...]
"""A command, line by line, each with its LF."""


class ReadMode(enum.IntEnum):
    """How the board measures a resistance."""

    CLASSIC = 0
    """At 0.5 V only."""
    TIA_2_POINT = 1
    TIA_4_POINT = 2
    """Kelvin, for positive read voltages; recommended by the vendor."""
    TIA_4_POINT_NEGATIVE = 3
    """Kelvin, for negative read voltages."""


class SessionMode(enum.IntEnum):
    """Where the devices are."""

    LOCAL = 0
    EXTERNAL_BNC = 1
    BNC_TO_LOCAL = 2
    OFFLINE = 3


class SneakPath(enum.IntEnum):
    """What the board does with the lines that are not selected."""

    THIRD = 0
    """At a third of the voltage."""
    HALF = 1
    """At half of the voltage."""
    FLOATING = 256
    """Left open; newer firmware only."""


def number_text(value: float) -> str:
    """Return a number such that the board parses exactly the value meant.

    From 1e-6 on in fixed point, six decimals (what both vendor clients send for jobs 3, 0 and 01)
    or as many as it takes: cut off anywhere on its way, such a number only becomes smaller. Below,
    where six decimals turn 90 ns into 0, in exponent form (`9e-08`), as the vendor's modules do.

    Raises
    ------
    InstrumentProtocolError
        nan or an infinity.
    """
    exact = float(value)
    if not math.isfinite(exact):
        raise InstrumentProtocolError(f"{exact!r} cannot be sent to an ArC ONE; give a number")
    text = f"{exact:.6f}"
    if float(text) == exact:
        return text
    return repr(exact) if abs(exact) < 1e-6 else f"{Decimal(repr(exact)):f}"


def filler_lines() -> Lines:
    """Return lines that bring a board to the end of any job it still collects lines for.

    A bare LF ends a line that was cut off; then each line is 0 as a parameter and no job's code. A
    reset alone does not do this: in the middle of a job its `00` is taken for a parameter, and so
    would the settings of an initialisation be, for example as the amplitude of a pulse.
    """
    return (b"\n", *(b"0.0\n",) * LONGEST_JOB_N_PARAMETERS)


def reset_lines() -> Lines:
    """Return job 00: restart the microcontroller. No reply."""
    return _job("00")


def init_lines(
    *,
    n_read_cycles: int,
    n_wordlines: int,
    n_bitlines: int,
    read_mode: ReadMode,
    session_mode: SessionMode,
    sneak_path: SneakPath,
    read_voltage_v: float,
) -> Lines:
    """Return job 0 and its seven lines. Reply: the ASCII line `1`."""
    return _job(
        "0",
        f"{n_read_cycles:d}",
        f"{n_wordlines:d}",
        f"{n_bitlines:d}",
        f"{_mode_for(read_mode, read_voltage_v):d}",
        f"{session_mode:d}",
        f"{sneak_path:d}",
        number_text(read_voltage_v),
    )


def set_read_lines(read_mode: ReadMode, read_voltage_v: float) -> Lines:
    """Return job 01: how and at what voltage to read. No reply."""
    mode = _mode_for(read_mode, read_voltage_v)
    return _job("01", f"{mode:d}", number_text(read_voltage_v))


def read_one_lines(wordline: int, bitline: int) -> Lines:
    """Return job 1: read one device. Reply: one float32 in ohms."""
    return _job("1", f"{wordline:d}", f"{bitline:d}")


def read_all_lines(n_wordlines: int, n_bitlines: int) -> Lines:
    """Return job 2: read every device. Reply: one float32 in ohms each, bit line fastest."""
    return _job("2", "1", f"{n_wordlines:d}", f"{n_bitlines:d}")


def pulse_and_read_lines(wordline: int, bitline: int, amplitude_v: float, width_s: float) -> Lines:
    """Return job 3: one pulse, then a read. Reply: one float32 in ohms."""
    return _job(
        "3", f"{wordline:d}", f"{bitline:d}", number_text(amplitude_v), number_text(width_s)
    )


def curve_step_lines(
    wordline: int, bitline: int, amplitude_v: float, width_s: float, compliance_a: float
) -> Lines:
    """Return job 201, a curve of one step in one polarity, then its device.

    Reply: one triple of float32 (ohms and volts at the step, width), then three zeros. Voltages are
    magnitudes, the negative limit of current is sent negative; exactly 10 uA is sent as 10.1 uA,
    because the board changes its range there.
    """
    level = number_text(abs(amplitude_v))
    limit_a = 10.1e-6 if compliance_a == 10e-6 else compliance_a
    pulsed, only_up, only_down, halts = "1", "2", "3", "1"
    span = only_up if amplitude_v > 0 else only_down
    sent_s = number_text(width_s - CURVE_OVERHEAD_S)
    limits = (number_text(limit_a), number_text(-limit_a))
    step = (level, level, level, level, sent_s, "0.000000", *limits, "1", pulsed, span, halts, "1")
    return _job("201", *step, f"{wordline:d}", f"{bitline:d}")


def parse_curve_step(data: bytes) -> npt.NDArray[np.float64]:
    """Return (ohms, volts) of a curve of one step, from its 24 bytes.

    Raises `InstrumentProtocolError` unless they are one believable triple and its end.
    """
    values = np.frombuffer(data, "<f4").astype(np.float64)
    if len(values) != N_CURVE_STEP_VALUES or values[3:].any():
        raise InstrumentProtocolError(f"a curve of one step ends with {values[3:]}, not zeros")
    parse_resistances(data[:N_BYTES_PER_VALUE])
    if not (0 < abs(values[1]) <= MAX_VOLTAGE_V):
        raise InstrumentProtocolError(f"a step of {values[1]:g} V, allowed +-{MAX_VOLTAGE_V:g} V")
    return values[:2]


def firmware_lines() -> Lines:
    """Return job 999: ask the firmware version. Old firmware does not answer."""
    return _job("999")


def parse_init_reply(line: bytes) -> None:
    """Accept the answer to job 0, or raise `InstrumentProtocolError`."""
    if line.strip() != INIT_ACCEPTED:
        raise InstrumentProtocolError(f"answer to the initialisation is {line!r}, allowed b'1'")


def parse_resistances(data: bytes) -> npt.NDArray[np.float64]:
    """Return resistances in ohms, `(n_values,)`, each inside the board's own window.

    Raises `InstrumentProtocolError` for anything else, nan among it.
    """
    if len(data) % N_BYTES_PER_VALUE:
        raise InstrumentProtocolError(f"{len(data)} bytes are no whole number of float32 values")
    resistances_ohm = np.frombuffer(data, "<f4").astype(np.float64)
    is_believable = (resistances_ohm >= MIN_RESISTANCE_OHM) & (
        resistances_ohm <= MAX_RESISTANCE_OHM
    )
    if not is_believable.all():
        first = int(np.argmin(is_believable))
        raise InstrumentProtocolError(
            f"reading {first + 1} of {len(resistances_ohm)} is {resistances_ohm[first]:g} ohm, "
            f"allowed {MIN_RESISTANCE_OHM:g} to {MAX_RESISTANCE_OHM:g} ohm"
        )
    return resistances_ohm


def parse_firmware(data: bytes) -> tuple[int, int]:
    """Return (major, minor) of the firmware, from four bytes."""
    try:
        major, minor = struct.unpack("<HH", data)
    except struct.error as exc:
        raise InstrumentProtocolError(f"firmware version in {len(data)} bytes, not 4") from exc
    return major, minor


def _job(code: str, *parameters: str) -> Lines:
    return tuple(f"{line}\n".encode("ascii") for line in (code, *parameters))


def _mode_for(read_mode: ReadMode, read_voltage_v: float) -> ReadMode:
    if read_mode is ReadMode.TIA_4_POINT and read_voltage_v < 0:
        return ReadMode.TIA_4_POINT_NEGATIVE
    return read_mode
