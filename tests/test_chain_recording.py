"""The chain with a recording in the culture's place: its spikes travel, nothing stimulates it."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_playback import write_recording

from app.cli import main

RATE_HZ = 20_000.0
SECONDS = 2.0


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two channels of noise (5 counts, 0.5 microvolts each); the first fires every 50 ms."""
    n_samples = round(SECONDS * RATE_HZ)
    folder = tmp_path_factory.mktemp("recording")
    write_recording(folder, np.arange(n_samples), sample_rate=RATE_HZ)
    samples = np.random.default_rng(7).normal(0, 5, (n_samples, 2))
    shape = -200 * np.exp(-0.5 * ((np.arange(24) - 8) / 2.5) ** 2)
    for start in range(1000, n_samples - 100, 1000):
        samples[start : start + len(shape), 0] += shape
    (dat,) = folder.rglob("continuous.dat")
    samples.round().astype("<i2").tofile(dat)
    return folder


def test_recorded_spikes_cross_and_every_stimulus_is_refused_by_name(
    recording: Path, tmp_path: Path
) -> None:
    arguments = ["demo", "--out", str(tmp_path), "--no-progress", "--seconds-per-phase", "1.5"]
    assert main([*arguments, "--recording", str(recording)]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["outcome"] is None
    links = {(link["from"], link["to"]): link for link in summary["links"]}
    assert all(link["n_lost"] == link["n_duplicated"] == 0 for link in links.values())
    assert links["padova", "southampton"]["n_received"] > 50
    assert links["southampton", "zurich"]["n_received"] > 50
    n_asked = links["southampton", "padova"]["n_received"]
    assert n_asked > 50
    refused = {(row["site"], row["reason"]): row["n"] for row in summary["refusals"]}
    assert refused["padova", "playback cannot stimulate"] == n_asked
    assert summary["loop_latency_us"]["n"] == 0
    for folder in summary["sessions"].values():
        metadata = json.loads((Path(folder) / "session.json").read_text())["metadata"]
        assert metadata["cultures"] == {}
        assert metadata["culture_elsewhere"] is None, "it was a recording, of nobody knows what"
