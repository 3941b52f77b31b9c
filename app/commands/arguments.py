"""The arguments of commands that concern a running site, and what those of all commands share."""

import argparse
import datetime as dt
import math
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Family:
    """Commands whose functions stand in one module, `where`, under the commands' own names."""

    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]"
    where: str

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:  # noqa: A002
        """Add one, as argparse does."""
        parser = self.subparsers.add_parser(name, help=help)
        parser.set_defaults(where=self.where)
        return parser


def positive(text: str) -> float:
    """Return a number above 0, for an argument. Raises ValueError."""
    value = float(text)
    if not (0 < value <= 1e6 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1e6")
    return value


def add_running(commands: Family) -> None:
    """Add what starts an engine, and what switches a site off without one."""
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


def add_checking(commands: Family) -> None:
    """Add `check`."""
    check = commands.add_parser("check", help="validate site and experiment files together")
    check.add_argument("files", type=Path, nargs="+", metavar="FILE")
    check.add_argument(
        "--offline", action="store_true", help="do not ask whether the instruments answer"
    )


def add_keys(commands: Family) -> None:
    """Add what concerns a site's own key and its peers'."""
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


def add_consoles(commands: Family) -> None:
    """Add what asks a running engine."""

    def console(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text)
        made.add_argument("site_file", type=Path, metavar="SITE.toml")
        return made

    status = console("status", "show what a running engine does")
    status.add_argument("--json", action="store_true", help="one JSON object")
    arm = console("arm", "allow outputs, for a time; stays attached and renews the lease")
    arm.add_argument("--who", required=True, help="an operator named in site.toml")
    arm.add_argument("--reason", required=True)
    arm.add_argument("--minutes", type=positive, default=60.0, help="expires after (default 60)")
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


def _moment(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    except (ValueError, OverflowError) as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 2026-11-28T08:00") from exc
    if not (dt.datetime.now(dt.UTC) < moment):
        raise argparse.ArgumentTypeError(f"{text} has passed")
    return moment
