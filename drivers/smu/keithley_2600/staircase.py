"""A staircase in the Keithley 2600B's language: one program from 0 V to the top and back. No I/O.

Source: Series 2600B reference manual (2600BS-901-01): `smuX.source.levelv`, `.compliance`,
`smuX.measure.iv`, `delay`, and Lua's `if`. Each step is inside the `if` of the one below it, so the
way back begins by itself at the step that reached the limit:

    S1 if not c1 then S2 if not c2 then S3 B2 end B1 end
"""

from collections.abc import Sequence

from drivers.errors import InstrumentProtocolError
from drivers.permit import PulseDevice
from drivers.smu.bench.dialect import Measured
from drivers.smu.bench.settings import BenchSettings
from drivers.tagged.message import Fields, Message, fixed, number, switch

MIN_STEP_S = 500e-6
MAX_STEPS = 20
"""Of one way: the program must fit into the instrument's line."""
APERTURE_SHARE = 0.4
"""Of a step; the rest lets the level settle."""
SLOWEST_LINE_HZ = 50.0
MIN_NPLC = 0.001
OVERHEAD_S = 100e-6
"""Of one measurement, about: it is not a number of the manual, to be confirmed on an instrument."""


def staircase_message(
    settings: BenchSettings, pulse: PulseDevice, n_steps: int, *, halts: bool
) -> Message:
    """Return the program: `n_steps` to the amplitude and back, equal parts of the width each."""
    step_s = pulse.width_s / (2 * n_steps - 1)
    nplc = max(MIN_NPLC, min(settings.nplc, APERTURE_SHARE * step_s * SLOWEST_LINE_HZ))
    wait_s = max(0.0, step_s - nplc / SLOWEST_LINE_HZ - OVERHEAD_S)
    levels = [pulse.amplitude_v * (k + 1) / n_steps for k in range(n_steps)]

    def step(k: int, v: str, i: str, c: str) -> str:
        return (
            f"smua.source.levelv = {fixed(levels[k - 1])} delay({fixed(wait_s)}) "
            f"{i}{k}, {v}{k} = smua.measure.iv() {c}{k} = smua.source.compliance"
        )

    def way(k: int) -> str:
        there = step(k, "v", "i", "c")
        if k == n_steps:
            return there
        back = step(k, "w", "j", "d")
        if halts:
            return f"{there} if not c{k} then {way(k + 1)} {back} end"
        return f"{there} {way(k + 1)} {back}"

    there = [f"{name}{k}" for k in range(1, n_steps + 1) for name in "vic"]
    back = [f"{name}{k}" for k in range(1, n_steps) for name in "wjd"]
    return Message(
        (
            f"{', '.join(f'c{k}' for k in range(1, n_steps + 1))} = nil",
            f"{', '.join(f'd{k}' for k in range(1, n_steps + 1))} = nil",
            f"smua.measure.nplc = {fixed(nplc, 3)}",
            way(1),
            "smua.source.levelv = 0",
            f"smua.measure.nplc = {fixed(settings.nplc, 3)}",
        ),
        (*there, *back, "smua.source.output"),
        2 * pulse.width_s,
    )


def parse_staircase(fields: Fields, n_steps: int) -> tuple[Measured, ...]:
    """Return what was measured, in the order in which it was; steps not made are left out.

    Raises `InstrumentProtocolError` if the steps that were made are no way out and back.
    """
    *values, output = fields
    is_on = switch(output, "output")
    triples = [values[3 * k : 3 * k + 3] for k in range(2 * n_steps - 1)]
    there = _made(triples[:n_steps], is_on_after=is_on)
    back = _made(triples[n_steps:], is_on_after=is_on)
    if not there or len(back) != len(there) - 1:
        raise InstrumentProtocolError(
            f"a staircase of {len(there)} steps out and {len(back)} back is none"
        )
    return (*there, *reversed(back))


def _made(triples: Sequence[Sequence[str]], *, is_on_after: bool) -> list[Measured]:
    made = []
    for v, i, limited in triples:
        if limited == "nil":
            break
        flag = switch(limited, "source.compliance")
        made.append(Measured(number(v, "voltage"), number(i, "current"), flag, is_on_after))
    return made
