"""What `spikebridge bench` does: one procedure, its data as CSV, its figure, one sentence each."""

import argparse
import datetime as dt
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from app.bench.arguments import values_of
from app.bench.array_view import ArrayView, array_file
from app.bench.bench import Bench
from app.bench.drawing import draw_one
from app.bench.errors import BenchError
from app.bench.fit_command import fit_file
from app.bench.forms import BY_NAME, AskedError
from app.bench.hdf5 import write_hdf5
from app.bench.keeping import as_json, facts_of, write_facts, write_results
from app.bench.procedures import Place, Result, Task, carry_out
from app.bench.progress import Progress
from app.bench.session import OpenBench, open_session
from app.bench.words import age, ohm
from app.config.load import ConfigError, load_site
from app.exit_codes import ExitCode
from drivers.errors import InstrumentError

PROGRESS_INTERVAL_S = 0.1


def run_bench(arguments: argparse.Namespace) -> int:
    """Run one procedure; return the exit code."""
    if arguments.procedure == "array":
        return _show_array(arguments)
    progress = _ProgressLine(is_shown=not arguments.no_progress and sys.stderr.isatty())
    try:
        if arguments.procedure == "fit":
            _say(fit_file(arguments))
            return ExitCode.OK
        task = _task(arguments)
        with open_session(
            arguments.site_file,
            who=arguments.who,
            reason=arguments.reason,
            smu=arguments.smu,
            is_mock=arguments.mock,
            confirm=_confirm,
            on_progress=progress.show,
        ) as session:
            return _run_in(session, task, arguments)
    except (BenchError, InstrumentError) as exc:
        print(f"spikebridge: bench: {exc}", file=sys.stderr)  # noqa: T201
        return ExitCode.FAILED
    finally:
        progress.end()


def _task(arguments: argparse.Namespace) -> Task:
    form = BY_NAME[arguments.procedure]
    try:
        values = form.taken(values_of(form, arguments))
    except AskedError as exc:
        raise ConfigError(f"bench {exc}") from exc
    return Task(
        procedure=form.name, devices=tuple(arguments.devices), values=values, who=arguments.who
    )


def _run_in(session: OpenBench, task: Task, arguments: argparse.Namespace) -> int:
    out: Path = arguments.out or session.folder
    out.mkdir(parents=True, exist_ok=True)
    bench = session.bench
    facts = facts_of(
        bench, task, temperature_c=arguments.temperature_c, began=dt.datetime.now(dt.UTC)
    )
    place = Place(bench, (session.smu.n_wordlines, session.smu.n_bitlines), session.arm_forming)
    write_facts(out, facts)
    session.note(f"{task.procedure} began ({arguments.reason}): {task.words}")
    result: Result | None = None
    why = ""
    with _aborted_by_signals(bench):
        try:
            result = carry_out(place, task)
            if not arguments.json:  # at once, also where the figure takes a while
                _say("\n".join(result.lines))
        except (BenchError, InstrumentError) as exc:
            why = str(exc)
            raise
        finally:
            session.begin_safe()
            said = why if result is None else "; ".join(result.lines[-5:])
            session.note(f"{task.procedure} ended: {said}")
            made = write_results(out, facts, bench.points, result, why)
            made += draw_one(out, _plain(facts), bench.points)
            if arguments.hdf5:
                write_hdf5(out / f"bench-{task.procedure}.h5", bench.points, _plain(facts))
                made.append(f"bench-{task.procedure}.h5")
            if result is None:
                kept = f"what was measured is kept in {out}: {', '.join(made)}"
                print(f"spikebridge: bench: {kept}", file=sys.stderr)  # noqa: T201
    if arguments.json:
        _say(as_json({**facts, **result.values}).decode())
    else:
        _say(f"written to {out}: {', '.join(made)}")
    return ExitCode.OK if result.is_well else ExitCode.FAILED


@contextmanager
def _aborted_by_signals(bench: Bench) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a procedure before its next step."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: bench.abort()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _show_array(arguments: argparse.Namespace) -> int:
    site = load_site(arguments.site_file)
    view = ArrayView(array_file(arguments.site_file, site.site, is_mock=arguments.mock))
    now = dt.datetime.now(dt.UTC)
    named = {(smu.name, d.wordline, d.bitline) for smu in site.smus for d in smu.devices}
    others = [d for d in view if (d.instrument, d.wordline, d.bitline) not in named]
    for d in view:
        if d in others:
            continue
        frozen = "; ".join(f"frozen {word}: {why}" for word, why in d.frozen.items())
        budget = "" if d.budget_pulses is None else f" of {d.budget_pulses}"
        origin = " ".join(part for part in (d.wafer, d.die) if part)
        _say(
            f"{d.instrument} {d.name} ({d.wordline}, {d.bitline}) {origin} {d.state}: "
            f"{ohm(d.resistance_ohm)}, read {age(d.age_s(now))}, {d.n_pulses}{budget} pulses, "
            f"{len(d.formings)} formings {frozen}".rstrip()
        )
    if others:
        n_read = sum(d.resistance_ohm is not None for d in others)
        _say(f"{len(others)} positions without a name in the site file, {n_read} with a reading")
    return ExitCode.OK


def _confirm(what: str) -> bool:
    """Make a person say yes, in a word that nobody types by accident."""
    _say(f"{what}: real devices will be pulsed")
    return input("type ARM to go on: ").strip() == "ARM"


class _ProgressLine:
    """One line on a terminal, rewritten ten times a second at most."""

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown
        self._last_s = 0.0

    def show(self, progress: Progress) -> None:
        """Show how far the procedure is."""
        now_s = time.monotonic()
        if self._is_shown and now_s - self._last_s >= PROGRESS_INTERVAL_S:
            self._last_s = now_s
            sys.stderr.write(f"\r\x1b[K{progress.done}/{progress.total} {progress.text}")
            sys.stderr.flush()

    def end(self) -> None:
        """Take the line away."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(as_json(facts))
    return plain


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command line's own voice
