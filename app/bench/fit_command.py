"""`spikebridge bench SITE.toml fit`: from a session file to a switching model; no instrument."""

import argparse
import math

import numpy as np

from app.bench import figures
from app.bench.arc_csv import read_session, responses_in
from app.bench.errors import BenchError
from app.bench.fit import fit
from app.bench.switching_model import rms_error
from app.config.load import ConfigError


def fit_file(arguments: argparse.Namespace) -> str:
    """Fit, write the model and its figure, and return what came out in a sentence.

    Raises
    ------
    ConfigError
        The file is no session file or has no such device.
    BenchError
        Too few pulses, or too few of them moved the device.
    """
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
        raise BenchError(f"{arguments.csv_file}: {exc}") from exc
    fitted.model.save(arguments.model)
    picture = arguments.model.with_suffix(".png")
    figures.draw_fit(picture, arguments.csv_file.stem, fitted.model, responses)
    unseen = math.nan
    if is_held_out.any():
        unseen = rms_error(fitted.model, responses.where(is_held_out))
    told = f"; {int(is_held_out.sum())} pulses that the fit did not see, {unseen:.2%} rms"
    return (
        f"{fitted.n_pulses} pulses, {fitted.rms:.2%} rms{told if is_held_out.any() else ''}; "
        f"written to {arguments.model}, {picture}"
    )
