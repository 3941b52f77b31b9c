"""Which devices a simulated instrument has between its lines, as its arguments say."""

import argparse
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from mocks.arc_crossbar import LOWEST_OHM, OPEN_OHM, Crossbar
from mocks.memristor import PRESETS, MemristorModel
from mocks.memristor_file import model_from
from mocks.memristor_noise import NOISE_FULL, NOISE_MILD, NOISE_OFF
from mocks.memristor_scatter import NO_SCATTER, SCATTER

NOISES = {"off": NOISE_OFF, "mild": NOISE_MILD, "full": NOISE_FULL}
Places = Mapping[tuple[int, int], float]


def add_devices(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add = parser.add_argument
    add("--preset", choices=sorted(PRESETS), default="B", help="see mocks.memristor")
    add("--model-file", type=_model, help="constants of a device; instead of a preset")
    add("--noise", choices=sorted(NOISES), default="mild", help="see mocks.memristor_noise")
    add("--scatter", action="store_true", help="no two devices alike; see mocks.memristor_scatter")
    add("--initial", type=_places, default={}, metavar='"W,B=OHM ..."')


def crossbar_from(
    given: argparse.Namespace,
    shape: tuple[int, int],
    default_ohm: float,
    initial_ohm: Places,
    clock_ns: Callable[[], int],
) -> Crossbar:
    """Return the devices. Raises ValueError if a place does not exist."""
    return Crossbar(
        given.model_file or PRESETS[given.preset],
        NOISES[given.noise],
        given.seed,
        shape,
        default_ohm,
        initial_ohm,
        clock_ns,
        SCATTER if given.scatter else NO_SCATTER,
    )


def ohm(text: str) -> float:
    """Return a resistance that a device can have."""
    if not (LOWEST_OHM <= float(text) <= OPEN_OHM):
        raise argparse.ArgumentTypeError(f"{text} ohm; use {LOWEST_OHM:g} to {OPEN_OHM:g} ohm")
    return float(text)


def truth_of_devices(crossbar: Crossbar) -> dict[str, Any]:
    """Return the true resistance of every device."""
    return {
        "devices": [
            {"wordline": w, "bitline": b, "resistance_ohm": crossbar.true_ohm(w, b)}
            for w, b in crossbar.places
        ]
    }


def truth_of_pulses(crossbar: Crossbar, n_known: int) -> dict[str, Any]:
    """Return the pulses after the first `n_known`, as far as they are remembered."""
    n_forgotten = crossbar.n_pulses - len(crossbar.pulses)
    new = islice(crossbar.pulses, max(0, n_known - n_forgotten), None)
    return {"pulses": [pulse._asdict() for pulse in new]}


def _model(text: str) -> MemristorModel:
    try:
        return model_from(Path(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _places(text: str) -> dict[tuple[int, int], float]:
    places = {}
    for item in text.split():
        place, _, value = item.partition("=")
        wordline, _, bitline = place.partition(",")
        places[int(wordline), int(bitline)] = ohm(value)
    return places
