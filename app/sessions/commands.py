"""What each command upon recorded sessions does; its name is the command's."""

import argparse

from app.exit_codes import ExitCode


def replay(arguments: argparse.Namespace) -> int:
    """Decide a session again and compare."""
    from app.sessions.replay import replay as decide_again  # noqa: PLC0415

    report = decide_again(arguments.session)
    listed = ", ".join(f"{n} {table}" for table, n in sorted(report.decisions.items()))
    _say(f"{arguments.session.name}: {report.n_inputs} inputs decided again: {listed or 'nothing'}")
    if report.n_cut_off:
        _say(f"cut off: the last {report.n_cut_off} decisions were not written any more")
    if report.difference:
        _say(f"DIFFERENT: {report.difference}")
        return ExitCode.FAILED
    _say("identical")
    return ExitCode.OK


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command line's own voice
