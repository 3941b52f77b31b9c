"""Anybody does anything to a Gate in any order; what it permits is recounted from scratch.

Walks by plain chance are quick and many: 2,000 here, `SPIKEBRIDGE_GATE_WALKS=100000` on demand.
Fewer are Hypothesis's, which shrinks what it finds.
"""

import math
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from gate_laboratory import Laboratory
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from app.safety.requests import CauseKind, RefusalReason
from drivers.permit import DriveNeuron, PulseDevice, Stimulate
from tests.test_gate_recount import OTHER
from tests.test_gate_rig import DEVICE, LEASES, MS, SECOND

NAN = math.nan
MUST_OCCUR = {
    *(f"state {name}" for name in ("boot", "disarmed", "armed", "tripped")),
    *(f"permit {name}" for name in ("Stimulate", "PulseDevice", "DriveNeuron")),
    *("spent", "dead permit"),
    *(RefusalReason.MALFORMED, RefusalReason.INTERVAL, RefusalReason.RATE),
    *(RefusalReason.REMOTE_RATE, RefusalReason.UNKNOWN_TARGET, RefusalReason.TRIPPED),
}
"""Without these the walk has not been where it could have failed."""


N_WALKS = int(os.environ.get("SPIKEBRIDGE_GATE_WALKS", "2000"))
N_STEPS = 15


def steps_of(lab: Laboratory, rng: random.Random) -> list[tuple[int, Callable[[], object]]]:
    """What a walk may do next, each with its weight."""
    choose = rng.choice
    return [
        (1, lab.boot),
        (6, lab.renew_all),
        (1, lambda: lab.renew(choose(LEASES).name)),
        (1, lambda: lab.lose(choose(LEASES).name)),
        (3, lambda: lab.wait(
            choose([0, 1, MS, 20 * MS, 400 * MS, 501 * MS, 2001 * MS]), choose([False, True]))),
        (2, lambda: lab.wait_well(choose([1, 5 * MS, 200 * MS, SECOND]))),
        (1, lambda: lab.jump(choose([60 * SECOND, 3600 * SECOND, 30 * 3600 * SECOND]))),
        (1, lambda: lab.look_with_an_older_clock(choose([1, 5 * MS, 10 * SECOND]))),
        (1, lambda: lab.restart(choose([10 * SECOND, 700 * SECOND, 5000 * SECOND]))),
        (2, lambda: lab.try_to_arm(
            choose(["ada", "ada", " "]), choose([True, True, False]), choose([True, False]),
            choose([3600 * SECOND, 10 * SECOND, 0, NAN]))),
        (4, lab.arm),
        (1, lambda: lab.stop(choose(["disarm", "trip", "emergency stop"]))),
        (3, lambda: lab.acknowledge(choose(["bob", "bob", ""]))),
        (1, lambda: lab.block(choose(["hashes differ", None, None]))),
        (3, lambda: lab.read(choose([DEVICE, OTHER]), choose([10e3, 10e3, 500.0, 2e6, NAN]))),
        (1, lambda: lab.freeze(choose([1, -1]), choose([True, False]))),
        (8, lambda: lab.ask(
            choose(WALK_ACTIONS), choose(list(CauseKind)), choose(["padova", "zurich", "nowhere"]),
            choose([0, 0, 200 * MS, 201 * MS, None]), choose([1, 2, 6]), choose([0, 0, 0, 9]))),
        (1, lambda: lab.ask_in_a_row(
            choose(WALK_GOOD), choose([CauseKind.PSP, CauseKind.OPERATOR]), choose([5, 12]),
            choose([0, MS, 5 * MS, 300 * MS]), choose([True, False]))),
        (1, lambda: lab.ask_for_nonsense(choose(WALK_ODD), choose(["mea", "smu", "chip"]))),
        (4, lambda: lab.spend(rng.randrange(50))),
    ]  # fmt: skip


WALK_GOOD = [
    Stimulate(1),
    Stimulate(2),
    Stimulate(3),
    PulseDevice(DEVICE.wordline, DEVICE.bitline, 1.0, 1e-6),
    DriveNeuron(7, 200),
]
WALK_ACTIONS = [
    *WALK_GOOD,
    Stimulate(4),
    PulseDevice(OTHER.wordline, OTHER.bitline, -1.0, 1e-2),
    PulseDevice(OTHER.wordline, OTHER.bitline, 1.6, 1e-6),
    PulseDevice(DEVICE.wordline, DEVICE.bitline, 1.5, 2e-2),
    DriveNeuron(9, 0),
    DriveNeuron(8, 256),
]
WALK_ODD = [Stimulate(NAN), PulseDevice(3, 4, NAN, 1e-6), PulseDevice(3, 4, 1.0, NAN), "stimulate"]


def walk(kind: type[Laboratory], seed: int) -> None:
    rng = random.Random(seed)
    lab = kind()
    lab.begin(rng.randrange(10))
    weights, steps = zip(*steps_of(lab, rng), strict=True)
    for step in rng.choices(steps, weights, k=N_STEPS):
        step()
    lab.teardown()


def test_nothing_gets_past_the_gate_in_thousands_of_walks() -> None:
    class Seen(Laboratory):
        seen: ClassVar[Counter] = Counter()

    for seed in range(N_WALKS):
        try:
            walk(Seen, seed)
        except BaseException as exc:
            exc.add_note(f"walk {seed}")
            raise
    assert set(Seen.seen) >= MUST_OCCUR | {"restart", RefusalReason.BUDGET, RefusalReason.HOUR_DOSE}


def test_nothing_gets_past_the_gate_in_any_order():
    class Seen(Laboratory):
        seen: ClassVar[Counter] = Counter()

    run_state_machine_as_test(
        Seen,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Seen.seen["state armed"]
