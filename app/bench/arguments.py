"""The arguments of `spikebridge bench`, made from the table of procedures."""

import argparse
import math
from pathlib import Path
from typing import Any

from app.bench.forms import FORMS, AskedError, Choice, Flag, Form, Number


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
    for form in FORMS:
        _add_form(procedures, form)
    procedures.add_parser("array", help="show what is known of each device; touches nothing")
    _add_fit(procedures)


def values_of(form: Form, arguments: argparse.Namespace) -> dict[str, object]:
    """Return what was given on the command line for a procedure's fields."""
    given = vars(arguments)
    return {asked.name: given[asked.name.replace("-", "_")] for asked in form.asked}


def _add_form(procedures: Any, form: Form) -> None:
    parser = procedures.add_parser(form.name, help=form.sentence, description=form.sentence)
    if form.takes_many:
        told = "default: all in the site file"
        parser.add_argument("devices", nargs="*", metavar="DEVICE", help=told)
    else:
        parser.add_argument("devices", nargs=1, metavar="DEVICE")
    for asked in form.asked:
        option = f"--{asked.name}"
        words = f"{asked.label}: {asked.tip}" if asked.tip else asked.label
        words = words.replace("%", "%%")
        if isinstance(asked, Flag):
            parser.add_argument(option, action="store_true", help=words)
        elif isinstance(asked, Choice):
            parser.add_argument(option, choices=asked.words, default=asked.default, help=words)
        else:
            _add_number(parser, option, asked, words)


def _add_number(parser: Any, option: str, asked: Number, words: str) -> None:
    default = "" if asked.default is None else f", default {asked.default:g}"
    unit = asked.unit or ("count" if asked.is_whole else "number")
    parser.add_argument(
        option,
        type=_taking(asked),
        nargs="+" if asked.is_list else None,
        required=asked.is_required,
        default=asked.default,
        metavar=unit.upper() if asked.unit == "" else asked.unit,
        help=f"{words} ({unit}{default})",
    )


def _taking(asked: Number) -> Any:
    def take(text: str) -> float:
        try:
            (value,) = asked.many(text)
        except AskedError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from None
        return value

    take.__name__ = "number"  # what argparse calls it in "invalid number value"
    return take


def _add_fit(procedures: Any) -> None:
    fit = procedures.add_parser("fit", help="fit the switching model to measured pulses")
    fit.add_argument("csv_file", type=Path, metavar="SESSION.csv", help="an ArC ONE session file")
    fit.add_argument("--device", help="W,B: only this one's pulses")
    fit.add_argument("--model", type=Path, default=Path("device-model.json"), metavar="FILE.json")
    fit.add_argument("--held-out", type=_fraction, default=0.25, help="part for the check")


def _finite(text: str) -> float:
    value = float(text)
    if not (-273.15 <= value <= 1e4 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is not between -273.15 and 10000")
    return value


def _fraction(text: str) -> float:
    value = float(text)
    if not (0.0 <= value < 1.0):
        raise argparse.ArgumentTypeError(f"{text} is not a part from 0 to below 1")
    return value
