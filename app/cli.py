"""The command line: what `spikebridge --help` lists."""

import argparse
import datetime as dt
import importlib
import logging
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.bench.arguments import add_bench

LOG_FORMAT = "%(asctime)s %(levelname)s [%(threadName)s] %(name)s: %(message)s"

Command = Callable[[argparse.Namespace], int]


@dataclass(frozen=True, slots=True)
class _Family:
    """Commands whose functions stand in one module, `where`, under the commands' own names."""

    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]"
    where: str

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:  # noqa: A002
        parser = self.subparsers.add_parser(name, help=help)
        parser.set_defaults(where=self.where)
        return parser


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
    _add_running(_Family(commands, "app.commands.running"))
    _add_checking(_Family(commands, "app.commands.checking"))
    _add_keys(_Family(commands, "app.commands.site_keys"))
    _add_consoles(_Family(commands, "app.commands.consoles"))
    _add_sessions(_Family(commands, "app.sessions.commands"))
    _add_demo(_Family(commands, "app.commands.programs"))
    _add_detect(_Family(commands, "app.commands.programs"))
    _add_window(_Family(commands, "app.gui.commands"))
    add_bench(_Family(commands, "app.commands.programs"))
    return parser


def _add_running(commands: _Family) -> None:
    run = commands.add_parser("run", help="run a site's engine under a supervisor (no window)")
    run.add_argument("site_file", type=Path, metavar="SITE.toml")
    run.add_argument("--experiment", type=Path, metavar="EXPERIMENT.toml")
    run.add_argument("--mock", action="store_true", help="simulated instruments, real wires")
    run.add_argument("--dry-run", action="store_true", help="judge and record, move nothing")
    engine = commands.add_parser("engine", help="the engine alone; `run` starts and watches it")
    engine.add_argument("site_file", type=Path, metavar="SITE.toml")
    engine.add_argument("--experiment", type=Path, metavar="EXPERIMENT.toml")
    engine.add_argument("--mock", action="store_true")
    engine.add_argument("--dry-run", action="store_true")
    engine.add_argument("--heartbeat-fd", type=int, help=argparse.SUPPRESS)
    safe_off = commands.add_parser("safe-off", help="switch off every output of a site, now")
    safe_off.add_argument("site_file", type=Path, metavar="SITE.toml")


def _add_checking(commands: _Family) -> None:
    check = commands.add_parser("check", help="validate site and experiment files together")
    check.add_argument("files", type=Path, nargs="+", metavar="FILE")
    check.add_argument(
        "--offline", action="store_true", help="do not ask whether the instruments answer"
    )


def _add_keys(commands: _Family) -> None:
    keygen = commands.add_parser("keygen", help="make a site's key and certificate")
    keygen.add_argument("site_file", type=Path, metavar="SITE.toml")
    fingerprint = commands.add_parser(
        "fingerprint", help="print a certificate's fingerprint, to compare on the telephone"
    )
    fingerprint.add_argument("file", type=Path, metavar="SITE.toml|CERTIFICATE.crt")
    trust = commands.add_parser("trust", help="pin another site's certificate")
    trust.add_argument("site_file", type=Path, metavar="SITE.toml")
    trust.add_argument("certificate", type=Path, metavar="CERTIFICATE.crt")
    trust.add_argument("--peer", help="the peer's name, if the file is not named after it")
    revoke = commands.add_parser("revoke", help="remove a peer's pin; a running engine cuts it off")
    revoke.add_argument("site_file", type=Path, metavar="SITE.toml")
    revoke.add_argument("peer", metavar="PEER")


def _add_consoles(commands: _Family) -> None:
    def console(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text)
        made.add_argument("site_file", type=Path, metavar="SITE.toml")
        return made

    status = console("status", "show what a running engine does")
    status.add_argument("--json", action="store_true", help="one JSON object")
    arm = console("arm", "allow outputs, for a time; stays attached and renews the lease")
    arm.add_argument("--who", required=True, help="an operator named in site.toml")
    arm.add_argument("--reason", required=True)
    arm.add_argument("--minutes", type=_positive, default=60.0, help="expires after (default 60)")
    arm.add_argument("--code", help="the session code that `status` shows; asked for if not given")
    arm.add_argument(
        "--unattended-until",
        type=_moment,
        metavar="TIME",
        help="stay armed without this console until then: 2026-11-28T08:00, local unless it says",
    )
    disarm = console("disarm", "allow no outputs any more")
    disarm.add_argument("--who", default="operator")
    stop = console("stop", "EMERGENCY STOP at this site and every linked one")
    stop.add_argument("--who", default="operator")
    acknowledge = console("acknowledge", "leave TRIPPED, to DISARMED")
    acknowledge.add_argument("--who", required=True)
    unfreeze = console("unfreeze", "let a frozen device be pulsed again; while disarmed")
    unfreeze.add_argument("device", metavar="DEVICE")
    unfreeze.add_argument("--smu", required=True, metavar="NAME")
    unfreeze.add_argument("--who", required=True, help="an operator named in site.toml")
    unfreeze.add_argument("--reason", required=True)
    unfreeze.add_argument(
        "--confirm", metavar="DEVICE", help="its name again; asked for if not given"
    )
    impedance = console("impedance", "measure every electrode; while disarmed")
    impedance.add_argument("--who", default="", help="an operator named in site.toml")
    impedance.add_argument("--reason", default="")
    impedance.add_argument("--confirm", metavar="AMPLIFIER", help="asked for if not given")
    impedance.add_argument("--last", action="store_true", help="show the last one, measure nothing")
    note = console("note", "write a note into the session")
    note.add_argument("text")
    note.add_argument("--who", default="operator")
    start = console("start", "start the experiment's protocol, at the site that owns it")
    start.add_argument("--who", default="operator")
    console("shutdown", "end the engine in order")


def _add_sessions(commands: _Family) -> None:
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


def _add_demo(commands: _Family) -> None:
    demo = commands.add_parser("demo", help="the 2020 experiment on mock instruments, all here")
    demo.add_argument("--seconds-per-phase", type=_positive, default=10.0)
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


def _add_detect(commands: _Family) -> None:
    detect = commands.add_parser(
        "detect", help="find the spikes of a recording, as an engine would"
    )
    add = detect.add_argument
    add("recording", type=Path, metavar="RECORDING", help="Open Ephys binary, WAV, --raw, others")
    add("--out", type=Path, metavar="DIR", help="default: RECORDING-spikes, here")
    add("--overwrite", action="store_true", help="replace the results of an earlier run in DIR")
    add("--channels", nargs="+", default=[], metavar="NAME|N|N-N", help="positions count from 0")
    add("--bad-channels", nargs="+", default=[], metavar="NAME", help="excluded from everything")
    add("--probe", type=Path, metavar="FILE.json", help="electrode map (probeinterface)")
    add("--threshold-sigma", type=_positive, metavar="K", help="default 5")
    add("--polarity", choices=("neg", "pos", "both"), help="default neg")
    add("--band", type=_positive, nargs=2, metavar=("LOW", "HIGH"), help="band-pass edges in Hz")
    add("--common-reference", action="store_true", help="subtract the channels' median")
    add("--cold-start", action="store_true", help="as live: no spikes before the noise is known")
    add("--reader", default="", metavar="NAME", help="SpikeInterface's name of the format")
    add("--raw", action="store_true", help="int16 rows, no header; needs the next three")
    add("--rate", type=_positive, metavar="HZ")
    add("--n-channels", type=int, metavar="N")
    add("--uv-per-bit", type=_positive, metavar="UV", help="also for WAV (default there 1)")
    add("--no-progress", action="store_true")
    add("--json", action="store_true", help="print summary.json at the end")


def _add_window(commands: _Family) -> None:
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


def _moment(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    except (ValueError, OverflowError) as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 2026-11-28T08:00") from exc
    if not (dt.datetime.now(dt.UTC) < moment):
        raise argparse.ArgumentTypeError(f"{text} has passed")
    return moment


def _positive(text: str) -> float:
    value = float(text)
    if not (0 < value <= 1e6 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1e6")
    return value


if __name__ == "__main__":
    sys.exit(main())
