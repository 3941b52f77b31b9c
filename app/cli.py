"""The command line: what `spikebridge --help` lists."""

import argparse
import importlib
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from app.bench.arguments import add_bench
from app.commands.arguments import (
    Family,
    add_checking,
    add_consoles,
    add_keys,
    add_running,
    positive,
)

LOG_FORMAT = "%(asctime)s %(levelname)s [%(threadName)s] %(name)s: %(message)s"

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Wrong arguments end in one sentence and code 2."""
    parsed = build_parser().parse_args(arguments)
    logging.basicConfig(level=parsed.log_level.upper(), format=LOG_FORMAT, stream=sys.stderr)
    from app.commands.guarded import run_guarded  # noqa: PLC0415 - `--help` waits for no numpy

    where = importlib.import_module(parsed.where)
    run: Command = getattr(where, parsed.command.replace("-", "_"))
    return run_guarded(run, parsed)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="spikebridge",
        description="Join living, memristive and silicon neurons of several laboratories.",
    )
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="warning"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_running(Family(commands, "app.commands.running"))
    add_checking(Family(commands, "app.commands.checking"))
    add_keys(Family(commands, "app.commands.site_keys"))
    add_consoles(Family(commands, "app.commands.consoles"))
    _add_sessions(Family(commands, "app.sessions.commands"))
    _add_demo(Family(commands, "app.commands.programs"))
    _add_detect(Family(commands, "app.commands.programs"))
    _add_window(Family(commands, "app.gui.commands"))
    add_bench(Family(commands, "app.commands.programs"))
    return parser


def _add_sessions(commands: Family) -> None:
    def session(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text)
        made.add_argument("session", type=Path, metavar="SESSION")
        return made

    audit = session("audit", "check that a session's audit is as it was written")
    audit.add_argument("--head", metavar="CHAIN", help="a head noted earlier, which must occur")
    history = commands.add_parser("history", help="what electrodes and devices received so far")
    history.add_argument("site_file", type=Path, metavar="SITE.toml")
    history.add_argument("--json", action="store_true")
    session("info", "what a recorded session holds, on one screen")
    report = session("report", "figures and one HTML page about a recorded session")
    report.add_argument("--out", type=Path, metavar="FOLDER", help="default SESSION/export/report")
    recover = commands.add_parser("recover", help="make whole what a crash left; never deletes")
    recover.add_argument("folder", type=Path, metavar="SESSION|FOLDER")
    export = session("export", "write a session in other programs' formats; goes on if interrupted")
    export.add_argument("--nwb", action="store_true", help="one NWB 2 file with everything")
    export.add_argument("--csv", action="store_true", help="one CSV file a table")
    export.add_argument(
        "--spikeinterface", action="store_true", help="spikes as a SpikeInterface sorting folder"
    )
    export.add_argument("--out", type=Path, metavar="FOLDER", help="default SESSION/export")
    export.add_argument("--now", action="store_true", help="also beside a running recording")
    archive = session("archive", "copy a session elsewhere, verify the copy, mark the session")
    archive.add_argument("target", type=Path, metavar="FOLDER")
    session("replay", "decide a recorded session again; identical, or the first difference")


def _add_demo(commands: Family) -> None:
    demo = commands.add_parser("demo", help="the 2020 experiment on mock instruments, all here")
    demo.add_argument("--seconds-per-phase", type=positive, default=10.0)
    demo.add_argument("--out", type=Path, default=Path("demo-out"), metavar="DIR")
    demo.add_argument(
        "--recording", type=Path, metavar="SESSION_DIR", help="a recording stands in for Padova"
    )
    demo.add_argument("--seed", type=int, default=1)
    demo.add_argument(
        "--smu",
        choices=(
            "arc-one",
            "keithley-2600",
            "keithley-2600-switch",
            "keysight-b2900",
            "keithley-2450",
            "keithley-2400",
        ),
        default="arc-one",
        help="what holds the memristors (default arc-one); two say that they cannot",
    )
    demo.add_argument("--gui", action="store_true", help="show all three sites in a window")
    demo.add_argument("--no-progress", action="store_true")
    demo.add_argument("--json", action="store_true", help="print summary.json at the end")


def _add_detect(commands: Family) -> None:
    detect = commands.add_parser(
        "detect", help="find the spikes of a recording, as an engine would"
    )
    add = detect.add_argument
    add("recording", type=Path, metavar="RECORDING", help="Open Ephys binary, WAV, --raw, others")
    add("--out", type=Path, metavar="DIR", help="default: RECORDING-spikes, here")
    add("--overwrite", action="store_true", help="replace the results of an earlier run in DIR")
    add("--channels", nargs="+", default=[], metavar="NAME|N|N-N", help="positions count from 0")
    add("--bad-channels", nargs="+", default=[], metavar="NAME|N|N-N", help="not searched")
    add("--probe", type=Path, metavar="FILE.json", help="electrode map (probeinterface)")
    add("--threshold-sigma", type=positive, metavar="K", help="default 5")
    add("--polarity", choices=("neg", "pos", "both"), help="default neg")
    add("--band", type=positive, nargs=2, metavar=("LOW", "HIGH"), help="band-pass edges in Hz")
    add("--dead-time-ms", type=positive, metavar="MS", help="default 1")
    add("--common-reference", action="store_true", help="subtract the channels' median")
    add("--cold-start", action="store_true", help="as live: no spikes before the noise is known")
    add("--reader", default="", metavar="NAME", help="SpikeInterface's name of the format")
    add("--stream", default="", metavar="NAME", help="one of several streams in the file")
    add("--raw", action="store_true", help="int16 rows, no header; needs the next three")
    add("--rate", type=positive, metavar="HZ")
    add("--n-channels", type=int, metavar="N")
    add("--uv-per-bit", type=positive, metavar="UV", help="also for WAV (default there 1)")
    add("--no-progress", action="store_true")
    add("--json", action="store_true", help="print summary.json at the end")


def _add_window(commands: Family) -> None:
    gui = commands.add_parser("gui", help="the operator's window; starts or attaches to engines")
    add = gui.add_argument
    add("site_files", type=Path, nargs="*", metavar="SITE.toml", help="one view for each")
    add("--experiment", type=Path, metavar="EXPERIMENT.toml", help="for an engine that is started")
    add("--mock", action="store_true", help="simulated instruments; without SITE.toml an example")
    add("--attach-only", action="store_true", help="start no engine; wait for one")
    add("--attach", metavar="HOST:PORT", help="an engine over the network; needs the next three")
    add("--key", type=Path, metavar="ME.key", help="the operator's private key")
    add("--certificate", type=Path, metavar="ME.crt", help="the certificate that site.toml names")
    add("--site-certificate", type=Path, metavar="SITE.crt", help="the engine's own, pinned")
    pictures = commands.add_parser("screenshots", help="the window's pictures, made offscreen")
    pictures.add_argument("--out", type=Path, default=Path("docs/pictures"), metavar="DIR")
    operator = commands.add_parser("operator-key", help="make an operator's key and certificate")
    operator.add_argument("name", metavar="NAME")
    operator.add_argument("--folder", type=Path, default=Path("keys"), metavar="DIR")


if __name__ == "__main__":
    sys.exit(main())
