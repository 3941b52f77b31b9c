"""`status`, `arm`, `stop` and the others that ask a running engine."""

import argparse
import datetime as dt
import json
import time
from typing import Any

from app.commands.guarded import say
from app.config.load import load_site
from app.console.client import ConsoleClient
from app.console.status_text import status_lines
from app.exit_codes import ExitCode
from app.run_folder import RunFolder

RENEW_INTERVAL_S = 0.5
"""An arming console renews its lease twice a second; without it the site trips within 2 s."""


def status(arguments: argparse.Namespace) -> int:
    """Show what a running engine does."""
    with _console(arguments) as console:
        result = console.call("status")
    if arguments.json:
        say(json.dumps(result, indent=1))
    else:
        for line in status_lines(result):
            say(line)
    return ExitCode.OK


def arm(arguments: argparse.Namespace) -> int:
    """Arm, and stay attached to renew the lease unless unattended."""
    until: dt.datetime | None = arguments.unattended_until
    seconds = 60.0 * arguments.minutes
    if until is not None:
        seconds = (until - dt.datetime.now(dt.UTC)).total_seconds()
    with _console(arguments) as console:
        code = arguments.code or _ask_for_code(console)
        console.call(
            "arm",
            who=arguments.who,
            reason=arguments.reason,
            seconds=seconds,
            code=code,
            is_unattended=until is not None,
        )
        if until is not None:
            say(f"armed by {arguments.who} until {until:%Y-%m-%d %H:%M} UTC, with nobody at hand")
            return ExitCode.OK
        say(f"armed by {arguments.who} for {arguments.minutes:g} min")
        say("this console renews the lease; Ctrl-C disarms")
        try:
            return _renew_until_disarmed(console)
        except KeyboardInterrupt:
            console.call("disarm", who=arguments.who, reason="console closed")
            say("disarmed")
            return ExitCode.OK


def disarm(arguments: argparse.Namespace) -> int:
    """Allow no outputs any more."""
    with _console(arguments) as console:
        console.call("disarm", who=arguments.who, reason="asked for at a console")
    say("disarmed")
    return ExitCode.OK


def stop(arguments: argparse.Namespace) -> int:
    """Stop everything at this site and every linked one."""
    with _console(arguments) as console:
        result = console.call("stop", who=arguments.who)
    for sentence in result["reports"]:
        say(sentence)
    return ExitCode.OK if result["is_safe"] else ExitCode.UNSAFE


def acknowledge(arguments: argparse.Namespace) -> int:
    """Leave TRIPPED, to DISARMED."""
    with _console(arguments) as console:
        console.call("acknowledge", who=arguments.who)
    say("acknowledged: disarmed")
    return ExitCode.OK


def unfreeze(arguments: argparse.Namespace) -> int:
    """Let a frozen device of a running engine be pulsed again; its name, typed, confirms it."""
    typed = arguments.confirm or input(f"type {arguments.device} to confirm: ").strip()
    with _console(arguments) as console:
        result = console.call(
            "unfreeze",
            who=arguments.who,
            reason=arguments.reason,
            instrument=arguments.smu,
            device=arguments.device,
            is_confirmed=typed == arguments.device,
        )
    say(f"{result['device']}: may be pulsed again ({' and '.join(result['directions'])})")
    return ExitCode.OK


def impedance(arguments: argparse.Namespace) -> int:
    """Measure the impedance of every electrode, and show it; the amplifier's name confirms it."""
    site = load_site(arguments.site_file)
    name = next((a.name for a in site.amplifiers), "no amplifier")
    with _console(arguments) as console:
        if not arguments.last:
            say(f"{name} stops, and passes a small current through each electrode in turn")
            typed = arguments.confirm or input(f"type {name} to confirm: ").strip()
            job = console.call(
                "measure impedance",
                instrument=name,
                who=arguments.who,
                reason=arguments.reason,
                is_confirmed=typed == name,
            )["job"]
            state, sentence = _await_upkeep(console, name, int(job))
            say(sentence)
            if state != "done":
                return ExitCode.FAILED
        shown = console.call("impedance", instrument=name)
    for channel, ohm, deg, fault in shown["electrodes"]:
        say(f"{channel}  {ohm / 1e3:10.2f} kOhm  {deg:6.0f} deg  {fault.upper()}".rstrip())
    return ExitCode.OK


def _await_upkeep(console: ConsoleClient, instrument: str, job: int) -> tuple[str, str]:
    while True:
        upkeep = console.call("status")["upkeep"]
        (mine,) = (row for row in upkeep if row["instrument"] == instrument)
        if mine["job"] != job or mine["state"] != "at work":
            return str(mine["state"]), str(mine["sentence"])
        time.sleep(RENEW_INTERVAL_S)


def note(arguments: argparse.Namespace) -> int:
    """Write a note into the session."""
    with _console(arguments) as console:
        console.call("note", who=arguments.who, text=arguments.text)
    return ExitCode.OK


def start(arguments: argparse.Namespace) -> int:
    """Start the experiment's protocol."""
    with _console(arguments) as console:
        result = console.call("start", who=arguments.who)
    say(f"protocol started: {result['n_phases']} phases, {result['duration_s']:g} s")
    return ExitCode.OK


def shutdown(arguments: argparse.Namespace) -> int:
    """End the engine in order."""
    with _console(arguments) as console:
        console.call("shutdown")
    return ExitCode.OK


def _console(arguments: argparse.Namespace) -> ConsoleClient:
    site = load_site(arguments.site_file)
    return ConsoleClient(RunFolder(arguments.site_file, site).console_socket)


def _ask_for_code(console: ConsoleClient) -> str:
    """Make a person look at what is going to be armed: the code stands among the facts."""
    facts: dict[str, Any] = console.call("status")
    for line in status_lines(facts):
        say(line)
    return input("type the session code to arm: ").strip()


def _renew_until_disarmed(console: ConsoleClient) -> int:
    while True:
        state = console.call("renew")["gate_state"]
        if state != "armed":
            say(f"no longer armed: {state}")
            return ExitCode.FAILED
        time.sleep(RENEW_INTERVAL_S)
