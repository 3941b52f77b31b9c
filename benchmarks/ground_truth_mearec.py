"""Recordings made by MEArec: another author's spike trains, convolution and noise.

MEArec (Buccino and Einevoll, Neuroinformatics 19, 2021) varies each spike on each electrode; its
noise has a colour and falls off with distance. Its templates come from simulated cells: a file of
them is made with NEURON 8 and LFPy by `mearec gen-templates`. Without such a file the templates are
those of SpikeInterface's generator.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.ground_truth import NOISE_UV, RATE_HZ, UV_PER_COUNT, Truth

N_TEMPLATES_PER_UNIT = 4
"""To choose from, so that neurons keep their distance."""
SHARE_EXCITATORY = 0.7
CUT_OUT_MS = 1.0, 3.0
"""Of a template, before and after its trough."""


def make(n_channels: int, n_units: int, seed: int, seconds: float, templates: Path | None) -> Truth:
    """Return a recording; with a file of templates its probe decides the number of channels."""
    import MEArec

    params = _params(n_units, seed, seconds)
    if templates is None:
        source = {"tempgen": _templates(n_channels, N_TEMPLATES_PER_UNIT * n_units, seed)}
    else:
        source = {"templates": str(templates)}
    made = MEArec.gen_recordings(params=params, **source, verbose=False, tmp_mode=None, n_jobs=1)
    traces = made.recordings
    position_um = made.channel_positions[:, 1:]
    if traces.shape[0] == len(position_um):
        traces = traces.T
    times_s = [train.times.rescale("s").magnitude for train in made.spiketrains]
    spike_unit = np.repeat(np.arange(len(times_s)), [len(t) for t in times_s])
    spike_at = np.rint(np.concatenate(times_s) * RATE_HZ).astype(np.int64)
    order = np.argsort(spike_at, kind="stable")
    # In MEArec's yz plane the first coordinate is the distance from the array.
    return Truth(
        samples=np.clip(np.rint(traces / UV_PER_COUNT), -32768, 32767).astype(np.int16),
        position_um=position_um.astype(np.float64),
        spike_at=spike_at[order],
        spike_unit=spike_unit[order].astype(np.int64),
        unit_um=np.asarray(made.template_locations, np.float64).reshape(len(times_s), -1, 3)[
            :, 0, 1:
        ],
        is_large=_trough_uv(made.templates, len(times_s)) >= 5 * NOISE_UV,
    )


def _params(n_units: int, seed: int, seconds: float) -> dict[str, Any]:
    import MEArec

    params: dict[str, Any] = MEArec.get_default_recordings_params()
    n_excitatory = round(SHARE_EXCITATORY * n_units)
    params["spiketrains"] |= {
        "n_exc": n_excitatory,
        "n_inh": n_units - n_excitatory,
        "duration": seconds,
    }
    params["seeds"] = dict.fromkeys(("spiketrains", "templates", "convolution", "noise"), seed)
    params["templates"] |= {"min_amp": 0, "max_amp": 1000, "min_dist": 5}
    params["recordings"] |= {
        "fs": RATE_HZ,
        "noise_level": NOISE_UV,
        "noise_mode": "distance-correlated",
        "noise_color": True,
        "modulation": "electrode",
        "filter": False,
        "chunk_duration": 5,
    }
    return params


def _templates(n_channels: int, n_templates: int, seed: int) -> Any:
    """Return a template generator of MEArec's that holds templates of SpikeInterface's."""
    from MEArec import TemplateGenerator
    from spikeinterface.core import generate_ground_truth_recording

    recording, sorting = generate_ground_truth_recording(
        durations=[0.1],
        sampling_frequency=RATE_HZ,
        num_channels=n_channels,
        num_units=n_templates,
        ms_before=CUT_OUT_MS[0],
        ms_after=CUT_OUT_MS[1],
        seed=seed,
    )
    templates = recording.templates
    channels_um = recording.get_channel_locations()
    middle_um = channels_um.mean(axis=0)  # MEArec lays the array's middle into the origin
    unit_um = sorting.get_property("gt_unit_locations") - [*middle_um, 0.0]
    positions_um = np.column_stack([np.zeros(n_channels), channels_um - middle_um])
    dt_ms = 1000.0 / RATE_HZ
    return TemplateGenerator(
        temp_dict={
            "templates": np.ascontiguousarray(templates.transpose(0, 2, 1)),
            "locations": unit_um[:, [2, 0, 1]],
            "rotations": np.zeros((n_templates, 3)),
            "celltypes": np.array(["PC", "BC"])[np.arange(n_templates) % 2],
        },
        info={
            "params": {
                "cut_out": list(CUT_OUT_MS),
                "dt": dt_ms,
                "drifting": False,
                "overhang": 0,
            },
            "electrodes": {
                "electrode_name": "SpikeInterface's",
                "pos": positions_um.tolist(),
                "dim": n_channels,
                "plane": "yz",
                "shape": "circle",
                "size": 5.0,
                "type": "mea",
                "sortlist": None,
                "pitch": 40.0,
            },
        },
    )


def _trough_uv(templates: npt.NDArray[Any], n_units: int) -> npt.NDArray[np.float64]:
    return -templates.reshape(n_units, -1).min(axis=1).astype(np.float64)
