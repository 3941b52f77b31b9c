"""The arguments of `spikebridge bench`."""

import argparse
import math
from pathlib import Path
from typing import Any


def add_bench(commands: Any) -> None:
    """Add the command and its procedures to the parser's subcommands."""
    bench = commands.add_parser(
        "bench", help="read, pulse, characterise and program memristors, without an engine"
    )
    bench.add_argument("site_file", type=Path, metavar="SITE.toml")
    bench.add_argument("--smu", help="which source-measure unit, where the site has several")
    bench.add_argument("--mock", action="store_true", help="a simulated instrument, a real wire")
    bench.add_argument("--who", default="operator", help="an operator named in site.toml")
    bench.add_argument("--reason", default="bench")
    bench.add_argument("--out", type=Path, metavar="DIR", help="default: the session's folder")
    bench.add_argument("--temperature-c", type=_finite, help="of the devices, for the record")
    bench.add_argument("--hdf5", action="store_true", help="the data as HDF5 besides (h5py)")
    bench.add_argument("--no-progress", action="store_true")
    bench.add_argument("--json", action="store_true", help="one JSON object at the end")
    procedures = bench.add_subparsers(dest="procedure", required=True, metavar="PROCEDURE")
    _add_reading(procedures)
    _add_pulsing(procedures)
    _add_cycling(procedures)
    _add_programming(procedures)


def _add_reading(procedures: Any) -> None:
    read = procedures.add_parser("read", help="read devices of the site file, or the whole array")
    read.add_argument("devices", nargs="*", metavar="DEVICE", help="default: all in the file")
    read.add_argument("--all", action="store_true", help="every position of the array")
    read.add_argument("--times", type=_count, default=1)
    retention = procedures.add_parser("retention", help="read at equal intervals")
    retention.add_argument("devices", nargs=1, metavar="DEVICE")
    retention.add_argument("--seconds", type=_positive, default=60.0)
    retention.add_argument("--interval", type=_positive, default=1.0, metavar="SECONDS")
    procedures.add_parser("array", help="show what is known of each device; touches nothing")


def _add_pulsing(procedures: Any) -> None:
    pulse = procedures.add_parser("pulse", help="verified pulses: before, after, verdict")
    pulse.add_argument("devices", nargs=1, metavar="DEVICE")
    pulse.add_argument("--volts", type=_finite, required=True)
    pulse.add_argument("--width", type=_positive, required=True, metavar="SECONDS")
    pulse.add_argument("--times", type=_count, default=1)
    pulse.add_argument(
        "--explore", action="store_true", help="do not freeze a device that does not move"
    )
    iv = procedures.add_parser("iv", help="current-voltage curve")
    iv.add_argument("devices", nargs=1, metavar="DEVICE")
    iv.add_argument("--up", type=_positive, default=1.0, metavar="VOLTS")
    iv.add_argument("--down", type=_positive, default=1.0, metavar="VOLTS")
    iv.add_argument("--step", type=_positive, default=0.1, metavar="VOLTS")
    iv.add_argument("--width", type=_positive, default=5e-3, metavar="SECONDS")
    iv.add_argument("--pause", type=_not_negative, default=0.0, help="pulsed: between steps, s")
    iv.add_argument("--cycles", type=_count, default=1)
    iv.add_argument("--span", choices=("both", "both-down-first", "up", "down"), default="both")
    iv.add_argument("--no-halt", action="store_true", help="go on at the compliance")


def _add_cycling(procedures: Any) -> None:
    endurance = procedures.add_parser("endurance", help="raise and lower, many times")
    endurance.add_argument("devices", nargs=1, metavar="DEVICE")
    endurance.add_argument("--volts", type=_positive, required=True)
    endurance.add_argument("--width", type=_positive, required=True, metavar="SECONDS")
    endurance.add_argument("--cycles", type=_count, default=100)
    endurance.add_argument("--pulses", type=_count, default=1, help="in each half of a cycle")
    pulse_map = procedures.add_parser("map", help="response to amplitude and width")
    pulse_map.add_argument("devices", nargs=1, metavar="DEVICE")
    pulse_map.add_argument("--volts", type=_finite, nargs="+", required=True)
    pulse_map.add_argument("--widths", type=_positive, nargs="+", required=True, metavar="SECONDS")
    pulse_map.add_argument("--repeats", type=_count, default=1)
    pulse_map.add_argument("--seed", type=int, default=1, help="of the order of pulses")
    form = procedures.add_parser("form", help="form a new device, under an arm of its own")
    form.add_argument("devices", nargs=1, metavar="DEVICE")
    form.add_argument("--start", type=_positive, default=1.0, metavar="VOLTS")
    form.add_argument("--step", type=_positive, default=0.1, metavar="VOLTS")
    form.add_argument("--stop", type=_positive, default=4.0, metavar="VOLTS")
    form.add_argument("--width", type=_positive, default=1e-3, metavar="SECONDS")
    form.add_argument("--negative", action="store_true")
    form.add_argument("--below", type=_positive, metavar="OHM", help="formed when below")
    unfreeze = procedures.add_parser("unfreeze", help="let a frozen device be pulsed again")
    unfreeze.add_argument("devices", nargs=1, metavar="DEVICE")


def _add_programming(procedures: Any) -> None:
    program = procedures.add_parser("program", help="write and verify to a target resistance")
    program.add_argument("devices", nargs="*", metavar="DEVICE", help="default: all in the file")
    program.add_argument("--target", type=_positive, required=True, metavar="OHM")
    program.add_argument("--tolerance", type=_positive, default=0.02)
    program.add_argument("--max-writes", type=_count, default=20)
    program.add_argument("--max-volts", type=_positive)
    fit = procedures.add_parser("fit", help="fit the switching model to measured pulses")
    fit.add_argument("csv_file", type=Path, metavar="SESSION.csv", help="an ArC ONE session file")
    fit.add_argument("--device", help="W,B: only this one's pulses")
    fit.add_argument("--model", type=Path, default=Path("device-model.json"), metavar="FILE.json")
    fit.add_argument("--held-out", type=_not_negative, default=0.25, help="part for the check")


def _positive(text: str) -> float:
    return _in_range(text, 0.0, 1e12, is_open=True)


def _not_negative(text: str) -> float:
    return _in_range(text, 0.0, 1e12)


def _finite(text: str) -> float:
    return _in_range(text, -1e12, 1e12)


def _count(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"{text} is not a count from 1 to 1000000")
    return int(text)


def _in_range(text: str, low: float, high: float, *, is_open: bool = False) -> float:
    value = float(text)
    if not (low <= value <= high and math.isfinite(value)) or (is_open and value == low):
        raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
    return value
