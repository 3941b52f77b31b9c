"""Program to a target resistance: write-verify beside the plain ramp that an ArC ONE does.

Two simulated boards with the same devices (spread from device to device, read noise, stuck ones),
the same driver and the same Gate; for each device in turn first one method, then the other. The
ramp is the board's ConvergeToState in words: amplitude from Vmin to Vmax, at each the width from
PWmin to PWmax, a reading after each pulse; past the target the polarity flips and the ramp begins
anew, five times at most.

A device counts as one that can reach its target if twenty of the strongest pulses, without noise,
would carry it past it.
"""

import itertools
import math
import time
from dataclasses import dataclass

import numpy as np

from app.bench.bench import Bench
from app.bench.errors import BenchError
from app.bench.programming import ProgramSettings, Reason, program
from benchmarks import report
from benchmarks.mock_arc import bench, board, driver
from benchmarks.report import Goal
from mocks.memristor import PRESETS, switched_ohm
from mocks.memristor_scatter import SCATTER, STUCK_OPEN_OHM, STUCK_SHORT_OHM, scattered

SEED = 11
N_BITLINES = 20
TYPICAL_OHM = 5000.0
TOLERANCE = 0.02
MAX_WRITES = 20
MAX_V = 2.0
MAX_WIDTH_S = 10e-3
RAMP_V = [1.0 + 0.1 * k for k in range(11)]
RAMP_WIDTHS_S = [10e-6 * 2**k for k in range(8)]
MAX_FLIPS = 5
OPTIONS = ("--scatter", "--noise", "mild", "--preset", "B", "--default-ohm", str(TYPICAL_OHM))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One method on one device."""

    n_writes: int
    error: float
    duration_s: float
    word: str


def ramp(lab: Bench, name: str, target_ohm: float) -> tuple[int, float]:
    """Do what ConvergeToState does; return (writes, final error)."""
    now_ohm = lab.read(name)
    n_writes, sign = 0, 1.0 if now_ohm < target_ohm else -1.0
    for _ in range(1 + MAX_FLIPS):
        for amplitude_v, width_s in itertools.product(RAMP_V, RAMP_WIDTHS_S):
            if abs(now_ohm / target_ohm - 1) <= TOLERANCE:
                return n_writes, now_ohm / target_ohm - 1
            now_ohm = lab.apply(name, sign * amplitude_v, width_s).after_ohm or math.nan
            n_writes += 1
            if sign * (now_ohm - target_ohm) > 0 and abs(now_ohm / target_ohm - 1) > TOLERANCE:
                break
        else:
            break  # the end of the ramp, and still not there
        sign = -sign
    return n_writes, now_ohm / target_ohm - 1


def can_reach(w: int, b: int, target_ohm: float) -> tuple[bool, bool]:
    """Return (it can, it is stuck), by the constants that the mock draws for this place."""
    rng = np.random.default_rng((SEED, w, b))
    model, ohm = scattered(PRESETS["B"], TYPICAL_OHM, SCATTER, rng)
    if ohm in (STUCK_OPEN_OHM, STUCK_SHORT_OHM):
        return False, True
    sign = 1.0 if ohm < target_ohm else -1.0
    for _ in range(MAX_WRITES):
        ohm = switched_ohm(model, ohm, sign * MAX_V, MAX_WIDTH_S)
    return sign * (ohm - target_ohm) >= 0, False


def timed_ours(lab: Bench, name: str, target_ohm: float) -> Outcome:
    """Program one device by write-verify."""
    began_s = time.perf_counter()
    settings = ProgramSettings(target_ohm=target_ohm, tolerance=TOLERANCE, max_writes=MAX_WRITES)
    done = program(lab, name, settings)
    return Outcome(done.n_writes, done.error, time.perf_counter() - began_s, str(done.reason))


def timed_ramp(lab: Bench, name: str, target_ohm: float) -> Outcome:
    """Program one device by the ramp."""
    began_s = time.perf_counter()
    try:
        n_writes, error = ramp(lab, name, target_ohm)
    except BenchError as exc:
        return Outcome(0, math.nan, time.perf_counter() - began_s, str(exc))
    return Outcome(n_writes, error, time.perf_counter() - began_s, "")


def row_of(method: str, outcomes: list[Outcome], is_reachable: list[bool]) -> report.Row:
    """Summarise the devices that can reach their target."""
    kept = [o for o, can in zip(outcomes, is_reachable, strict=True) if can]
    is_there = [abs(o.error) <= TOLERANCE for o in kept]
    writes = [o.n_writes for o in kept]
    errors = [abs(o.error) for o in kept if math.isfinite(o.error)]
    return {
        "method": method,
        "devices": len(kept),
        "within 2 %": sum(is_there),
        "within 2 % in 20 writes": sum(
            there and o.n_writes <= MAX_WRITES for there, o in zip(is_there, kept, strict=True)
        ),
        "writes p50": float(np.median(writes)),
        "writes p95": float(np.percentile(writes, 95)),
        "|error| p50": float(np.median(errors)),
        "|error| max": float(np.max(errors)),
        "s per device": float(np.mean([o.duration_s for o in kept])),
    }


def main() -> int:
    parser = report.parser(__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=0, help="default 200; with --quick 80")
    given = parser.parse_args()
    n = given.devices or (80 if given.quick else 200)
    places = {f"d{k:03}": (1 + k // N_BITLINES, 1 + k % N_BITLINES) for k in range(n)}
    rng = np.random.default_rng(SEED)
    targets = {name: float(np.exp(rng.uniform(*np.log([3000, 15_000])))) for name in places}
    fates = {name: can_reach(*places[name], targets[name]) for name in places}
    options = (*OPTIONS, "--seed", str(SEED))
    ours, ramps = [], []
    with (
        board(*options) as one,
        board(*options) as other,
        bench(driver(one), places) as lab,
        bench(driver(other), places) as ramp_lab,
    ):
        for name, target_ohm in targets.items():
            ours.append(timed_ours(lab, name, target_ohm))
            ramps.append(timed_ramp(ramp_lab, name, target_ohm))
    is_reachable = [fates[name][0] for name in places]
    rows = [row_of("write-verify", ours, is_reachable), row_of("ramp", ramps, is_reachable)]
    stuck = [name for name in places if fates[name][1]]
    named = [n for n, o in zip(places, ours, strict=True) if o.word == Reason.STUCK]
    unread = [n for n, o in zip(places, ours, strict=True) if o.word == Reason.UNREADABLE]
    share = rows[0]["within 2 % in 20 writes"] / rows[0]["devices"]
    ratio = rows[0]["writes p50"] / rows[1]["writes p50"]
    n_unnamed = len(set(stuck) - set(named) - set(unread))
    goals = [
        Goal("share of those that can, within 2 % in at most 20 writes", share, 0.95, "higher"),
        Goal("stuck devices not named", float(n_unnamed), 0.0, "lower"),
        Goal("working devices called stuck", float(len(set(named) - set(stuck))), 0.0, "lower"),
        Goal("writes of write-verify / of the ramp (medians)", ratio, 1.0, "lower"),
    ]
    words = ", ".join(stuck), ", ".join(named + unread)
    title = f"{n} devices, {len(stuck)} stuck ({words[0]}), named {words[1]}"
    return report.publish(rows, goals, as_json=given.json, title=title)


if __name__ == "__main__":
    raise SystemExit(main())
