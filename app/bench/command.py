"""What `spikebridge bench` does: one procedure, its data as CSV, its figure, one sentence each."""

import argparse
import datetime as dt
import json
import math
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.bench import figures
from app.bench.arc_csv import read_session, responses_in, write_session
from app.bench.array_view import ArrayView
from app.bench.cycling import FormingSettings, endurance, forming, pulse_map
from app.bench.errors import AbortedError, BenchError
from app.bench.fit import fit
from app.bench.hdf5 import write_hdf5
from app.bench.iv_curve import IvSettings, Span, iv_curve
from app.bench.points import Progress
from app.bench.programming import ProgramSettings, Reason, program
from app.bench.reading import read_array, read_devices, retention
from app.bench.session import OpenBench, array_file, open_session
from app.bench.switching_model import rms_error
from app.config.load import ConfigError, load_site
from app.exit_codes import ExitCode
from drivers.errors import InstrumentError

PROGRESS_INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class Result:
    """What a procedure found, and how a person reads it."""

    lines: list[str]
    values: dict[str, Any]
    is_well: bool = True


Run = Callable[[OpenBench, argparse.Namespace, Path], Result]


def run_bench(arguments: argparse.Namespace) -> int:
    """Run one procedure; return the exit code."""
    if arguments.procedure == "array":
        return _show_array(arguments)
    if arguments.procedure == "fit":
        return _fit(arguments)
    progress = _ProgressLine(is_shown=not arguments.no_progress and sys.stderr.isatty())
    try:
        with open_session(
            arguments.site_file,
            who=arguments.who,
            reason=arguments.reason,
            smu=arguments.smu,
            is_mock=arguments.mock,
            confirm=_confirm,
            on_progress=progress.show,
        ) as session:
            return _run_in(session, arguments)
    except (BenchError, InstrumentError) as exc:
        print(f"spikebridge: bench: {exc}", file=sys.stderr)  # noqa: T201
        return ExitCode.FAILED
    finally:
        progress.end()


def _run_in(session: OpenBench, arguments: argparse.Namespace) -> int:
    out: Path = arguments.out or session.folder
    out.mkdir(parents=True, exist_ok=True)
    bench = session.bench
    before = [signal.signal(n, lambda *_: bench.abort()) for n in (signal.SIGINT, signal.SIGTERM)]
    name = f"bench-{arguments.procedure}"
    try:
        result = PROCEDURES[arguments.procedure](session, arguments, out)
    except AbortedError as exc:
        result = Result([f"{exc}; what was measured is kept"], {"aborted": True}, is_well=False)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
        write_session(out / f"{name}.csv", f"{bench.smu.name} {arguments.procedure}", bench.points)
        facts = {
            "procedure": arguments.procedure,
            "instrument": asdict(bench.can),
            "temperature_c": arguments.temperature_c,
            "arguments": {k: str(v) for k, v in vars(arguments).items()},
        }
        (out / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        if arguments.hdf5:
            write_hdf5(out / f"{name}.h5", bench.points, facts)
    if arguments.json:
        _say(json.dumps({**facts, **result.values}, default=str))
    else:
        for line in [*result.lines, f"written to {out}: {name}.csv, {name}.json"]:
            _say(line)
    return ExitCode.OK if result.is_well else ExitCode.FAILED


def _read(session: OpenBench, arguments: argparse.Namespace, out: Path) -> Result:
    bench = session.bench
    if arguments.all:
        found = read_array(bench, (session.smu.n_wordlines, session.smu.n_bitlines))
        figures.draw_array(out / "bench-read.png", bench.smu.name, found.resistances_ohm)
        median = float(np.nanmedian(found.resistances_ohm))
        line = f"{found.resistances_ohm.size} devices, median {median:.0f} ohm"
        return Result([line], {"median_ohm": median, "n_unreadable": found.n_unreadable})
    names = arguments.devices or sorted(bench.devices)
    readings = read_devices(bench, names, arguments.times)
    lines = [f"{name}: {_ohms(ohms)}" for name, ohms in readings.items()]
    return Result(lines, {"resistances_ohm": readings}, all(readings.values()))


def _pulse(session: OpenBench, arguments: argparse.Namespace, out: Path) -> Result:
    bench, (name,) = session.bench, arguments.devices
    act = bench.apply if arguments.explore else bench.write
    lines, is_well = [], True
    for i in range(arguments.times):
        bench.progress(i, arguments.times, f"pulsing {name}")
        write = act(name, arguments.volts, arguments.width)
        word = "up" if write.direction > 0 else "down"
        lines.append(
            f"{name}: {arguments.volts:+g} V {arguments.width:g} s: {_ohm(write.before_ohm)} -> "
            f"{_ohm(write.after_ohm)}, expected {word}: {write.verdict} {write.detail}".rstrip()
        )
        is_well &= arguments.explore or str(write.verdict) == "moved"
        if not is_well:
            break
    return Result(lines, {"writes": lines}, is_well)


def _iv(session: OpenBench, arguments: argparse.Namespace, out: Path) -> Result:
    bench, (name,) = session.bench, arguments.devices
    settings = IvSettings(
        up_v=arguments.up,
        down_v=arguments.down,
        step_v=arguments.step,
        width_s=arguments.width,
        pause_s=arguments.pause,
        n_cycles=arguments.cycles,
        span=Span(arguments.span),
        halts_at_compliance=not arguments.no_halt,
    )
    points = iv_curve(bench, name, settings)
    figures.draw_iv(out / "bench-iv.png", name, points)
    n_limited = sum(p.is_limited for p in points)
    line = f"{name}: {len(points)} steps, {n_limited} at the compliance"
    return Result([line], {"curve": [asdict(p) for p in points]})


def _retention(session: OpenBench, arguments: argparse.Namespace, out: Path) -> Result:
    (name,) = arguments.devices
    found = retention(
        session.bench, name, duration_s=arguments.seconds, interval_s=arguments.interval
    )
    figures.draw_retention(out / "bench-retention.png", name, found)
    line = f"{name}: {len(found.times_s)} readings, {found.drift_per_decade:+.2%} per decade"
    values = {"times_s": found.times_s.tolist(), "resistances_ohm": found.resistances_ohm.tolist()}
    return Result([line], {**values, "drift_per_decade": found.drift_per_decade})


def _endurance(session: OpenBench, arguments: argparse.Namespace, out: Path) -> Result:
    (name,) = arguments.devices
    found = endurance(
        session.bench,
        name,
        amplitude_v=arguments.volts,
        width_s=arguments.width,
        n_cycles=arguments.cycles,
        n_per_half=arguments.pulses,
    )
    figures.draw_endurance(out / "bench-endurance.png", name, found)
    n = len(found.low_ohm)
    line = f"{name}: {n} cycles, high/low {found.ratio_first:.2f} at first, {found.ratio_last:.2f}"
    return Result([line + " at last"], asdict(found), n == arguments.cycles)


def _map(session: OpenBench, arguments: argparse.Namespace, out: Path) -> Result:
    (name,) = arguments.devices
    found = pulse_map(
        session.bench,
        name,
        amplitudes_v=arguments.volts,
        widths_s=arguments.widths,
        n_repeats=arguments.repeats,
        rng=np.random.default_rng(arguments.seed),
    )
    figures.draw_map(out / "bench-map.png", name, found)
    lines = [f"{name}: {len(found)} pulses"]
    return Result(lines, {"responses": [asdict(response) for response in found]})


def _form(session: OpenBench, arguments: argparse.Namespace, out: Path) -> Result:
    (name,) = arguments.devices
    settings = FormingSettings(
        start_v=arguments.start,
        step_v=arguments.step,
        stop_v=arguments.stop,
        width_s=arguments.width,
        is_negative=arguments.negative,
        below_ohm=arguments.below,
    )
    made = forming(session.bench, name, settings, who=arguments.who, arm=session.arm_forming)
    line = (
        f"{name}: {made.outcome} at {made.last_amplitude_v:+g} V after {made.n_pulses} pulses: "
        f"{_ohm(made.before_ohm)} -> {_ohm(made.after_ohm)}"
    )
    return Result([line], {"outcome": made.outcome}, made.outcome == "formed")


def _unfreeze(session: OpenBench, arguments: argparse.Namespace, out: Path) -> Result:
    (name,) = arguments.devices
    session.bench.unfreeze(name, arguments.who)
    return Result([f"{name}: may be pulsed again"], {})


def _program(session: OpenBench, arguments: argparse.Namespace, out: Path) -> Result:
    bench = session.bench
    settings = ProgramSettings(
        target_ohm=arguments.target,
        tolerance=arguments.tolerance,
        max_writes=arguments.max_writes,
        max_v=arguments.max_volts,
    )
    results = [
        program(bench, name, settings) for name in arguments.devices or sorted(bench.devices)
    ]
    figures.draw_program(out / "bench-program.png", bench.points, results, arguments.target)
    lines = [
        f"{r.device}: {r.reason} ({r.sentence}), {r.n_writes} writes, error {r.error:+.2%}"
        for r in results
    ]
    is_well = all(r.reason is Reason.REACHED for r in results)
    return Result(lines, {"results": [asdict(r) for r in results]}, is_well)


PROCEDURES: dict[str, Run] = {
    "read": _read,
    "pulse": _pulse,
    "iv": _iv,
    "retention": _retention,
    "endurance": _endurance,
    "map": _map,
    "form": _form,
    "unfreeze": _unfreeze,
    "program": _program,
}


def _fit(arguments: argparse.Namespace) -> int:
    """Fit the model to a session file; no instrument is needed."""
    rows = read_session(arguments.csv_file)
    if arguments.device is not None:
        place = tuple(map(int, arguments.device.split(",")))
        rows = [row for row in rows if (row.wordline, row.bitline) == place]
    if not rows:
        raise ConfigError(f"{arguments.csv_file}: has no such device")
    responses = responses_in(rows)
    is_held_out = np.random.default_rng(1).random(len(responses)) < arguments.held_out
    try:
        fitted = fit(responses.where(~is_held_out), rows[0].read_voltage_v)
    except BenchError as exc:
        print(f"spikebridge: bench: {exc}", file=sys.stderr)  # noqa: T201
        return ExitCode.FAILED
    fitted.model.save(arguments.model)
    figures.draw_fit(
        arguments.model.with_suffix(".png"), arguments.csv_file.stem, fitted.model, responses
    )
    unseen = math.nan
    if is_held_out.any():
        unseen = rms_error(fitted.model, responses.where(is_held_out))
    _say(
        f"{fitted.n_pulses} pulses, {fitted.rms:.2%} rms; {int(is_held_out.sum())} pulses that the "
        f"fit did not see, {unseen:.2%} rms; written to {arguments.model}"
    )
    return ExitCode.OK


def _show_array(arguments: argparse.Namespace) -> int:
    site = load_site(arguments.site_file)
    view = ArrayView(array_file(arguments.site_file, site, is_mock=arguments.mock))
    now = dt.datetime.now(dt.UTC)
    for d in view:
        frozen = "; ".join(f"frozen {word}: {why}" for word, why in d.frozen.items())
        budget = "" if d.budget_pulses is None else f" of {d.budget_pulses}"
        origin = " ".join(part for part in (d.wafer, d.die) if part)
        _say(
            f"{d.instrument} {d.name} ({d.wordline}, {d.bitline}) {origin} {d.state}: "
            f"{_ohm(d.resistance_ohm)}, read {_age(d.age_s(now))}, {d.n_pulses}{budget} pulses, "
            f"{len(d.formings)} formings {frozen}".rstrip()
        )
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


def _ohms(ohms: list[float]) -> str:
    if not ohms:
        return "no believable reading"
    spread = f" +- {float(np.std(ohms)):.1f}" if len(ohms) > 1 else ""
    return f"{float(np.mean(ohms)):.1f}{spread} ohm"


def _ohm(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} ohm"


def _age(age_s: float | None) -> str:
    if age_s is None:
        return "never"
    for unit_s, word in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if age_s >= 2 * unit_s:
            return f"{age_s / unit_s:.1f} {word} ago"
    return f"{age_s:.0f} s ago"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the command line's own voice
