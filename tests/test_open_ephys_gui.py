"""The simulated Open Ephys GUI in a process of its own, with the driver and the detector before it.

What can go wrong with such a source ends in a declared gap or a named failure.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mock_process import MockProcess

from app.config.check import check_site
from app.config.load import load_site
from app.core.detector import Detector, warm_up
from app.core.detector_settings import DetectorSettings
from app.instruments import limit_conflicts, make_rig, profiles_of, provenance_of
from app.mock_rig import MockRig, with_addresses
from drivers.errors import InstrumentRefusedError
from drivers.mea.open_ephys.driver import OpenEphysGui
from drivers.mea.open_ephys.settings import OpenEphysSettings
from drivers.mea.protocol import SampleBlock

LIMIT_S = 20.0
NAMES = tuple(f"CH{number}" for number in range(1, 61))


class Rig(MockProcess):
    """The mock's process and a driver on it."""

    def __init__(self, *options: str, channels: tuple[str, ...] = NAMES, spikes: bool = False):
        usual = ["--truth", "127.0.0.1:0", "--n-channels", str(len(channels))]
        super().__init__("mocks.open_ephys_gui", *usual, *options)
        self.driver = OpenEphysGui(
            "oe1",
            OpenEphysSettings(
                host="127.0.0.1",
                http_port=self.ready["http_port"],
                falcon_port=self.ready["falcon_port"],
                broadcaster_port=self.ready["broadcaster_port"] if spikes else None,
                channels=channels,
                sample_rate_hz=20_000.0,
                start_timeout_s=LIMIT_S,
                http_timeout_s=LIMIT_S,
                mode_timeout_s=LIMIT_S,
            ),
        )
        self.driver.open()

    def blocks(self, n_samples: int) -> list[SampleBlock]:
        """Start, and read until so many samples have come."""
        self.driver.start()
        return self.more(n_samples)

    def more(self, n_samples: int) -> list[SampleBlock]:
        found: list[SampleBlock] = []
        deadline_s = time.monotonic() + LIMIT_S
        while sum(len(b.samples) for b in found) < n_samples:
            block = self.driver.read_block(1.0)
            if block is not None:
                found.append(block)
            assert time.monotonic() < deadline_s
        return found

    def close(self) -> int:
        self.driver.close()
        return super().close()


@pytest.fixture
def rigs() -> Iterator[list[Rig]]:
    made: list[Rig] = []
    yield made
    for rig in made:
        assert rig.close() == 0, "it ends with whoever started it"


def faults(*plan: dict[str, object]) -> list[str]:
    return ["--faults", json.dumps(plan)]


def test_samples_arrive_whole_and_spikes_are_found(rigs: list[Rig]) -> None:
    warm_up()
    rigs.append(rig := Rig(spikes=True))
    blocks = rig.blocks(26_000)
    assert [b.n_lost for b in blocks[1:]] == [0] * (len(blocks) - 1)
    detector = Detector(rig.driver.stream_format, DetectorSettings(band_hz=(300.0, 6000.0)))
    found = [detector.process(b) for b in blocks]
    assert sum(len(f.spikes) for f in found) > 0
    assert 3 < np.nanmedian(detector.status().sigma_uv) < 8, "noise of 5 uV, in microvolts"
    theirs = rig.driver.read_spikes(LIMIT_S)
    assert theirs
    assert {s.electrode.split()[0] for s in theirs} == {"Electrode"}
    depths_uv = [s.amplitudes_uv[0] for s in theirs]
    assert 50 <= min(depths_uv) < max(depths_uv) < 400, "each spike's own depth"
    rig.driver.stop()
    assert rig.ask()["mode"] == "IDLE"


def test_http_answers_as_the_gui_does(rigs: list[Rig]) -> None:
    rigs.append(rig := Rig())
    base = f"http://127.0.0.1:{rig.ready['http_port']}/api/"
    with urllib.request.urlopen(base + "status", timeout=LIMIT_S) as answer:
        assert json.load(answer) == {"mode": "IDLE"}
    for path, body in (("quit", b"{}"), ("status", b"nonsense"), ("status", b'{"mode":"FLY"}')):
        request = urllib.request.Request(base + path, body, method="PUT")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=LIMIT_S)
        caught.value.close()
        assert caught.value.code == 404
    assert rig.ask()["mode"] == "IDLE"


def test_a_chain_without_source_stays_idle(rigs: list[Rig]) -> None:
    rigs.append(rig := Rig("--without-source"))
    with pytest.raises(InstrumentRefusedError, match="stays in IDLE"):
        rig.driver.start()


def test_a_stall_is_a_gap_of_its_length(rigs: list[Rig]) -> None:
    rigs.append(rig := Rig(*faults({"kind": "stall", "at": 3, "duration_s": 0.1})))
    blocks = rig.blocks(384 * 6)
    assert [b.n_lost for b in blocks if b.n_lost] == [2000]


def test_an_acquisition_that_began_anew_is_a_gap_of_unknown_length(rigs: list[Rig]) -> None:
    rigs.append(rig := Rig())
    rig.blocks(384 * 4)
    rig.driver.stop()
    blocks = rig.blocks(384 * 4)
    assert [b.n_lost for b in blocks if b.n_lost] == [-1]
    assert rig.ask()["n_acquisitions"] == 2


def test_a_port_that_was_away_comes_back_with_a_gap(rigs: list[Rig]) -> None:
    plan = faults({"kind": "disconnect", "on": "time", "at": 0.3, "duration_s": 0.3})
    rigs.append(rig := Rig(*plan))
    rig.driver.start()
    lost = 0
    deadline_s = time.monotonic() + LIMIT_S
    while not lost:
        block = rig.driver.read_block(0.5)
        lost = block.n_lost if block is not None else 0
        assert time.monotonic() < deadline_s
    assert lost > 0


def test_stuck_and_saturated_channels_are_flagged_and_silent(rigs: list[Rig]) -> None:
    warm_up()
    rigs.append(rig := Rig("--stuck-channel", "4", "--saturated-channel", "9"))
    detector = Detector(rig.driver.stream_format, DetectorSettings())
    found = [detector.process(b).spikes for b in rig.blocks(24_000)]
    status = detector.status()
    assert np.flatnonzero(status.is_dead).tolist() == [4]
    assert np.flatnonzero(status.is_pegged).tolist() == [9]
    assert not {4, 9} & set(np.concatenate(found)["channel"].tolist())


def test_a_site_runs_it_in_mock_mode(tmp_path: Path) -> None:
    names = ", ".join(f'"{name}"' for name in NAMES)
    path = tmp_path / "site.toml"
    path.write_text(
        'schema_version = 1\nsite = "lab"\n[[amplifiers]]\nname = "oe1"\n'
        f'driver = "open_ephys"\nhost = "192.0.2.1"\nchannels = [{names}]\n'
        'sample_rate_hz = 20000\nneurons = [{neuron = 1, channel = "CH1"}]\n'
    )
    site = load_site(path)
    assert check_site(site) + limit_conflicts(site) == []
    assert profiles_of(site, provenance_of(site, is_mock=True)) == {}, "nothing here can move"
    mocks = MockRig()
    mocks.start(site)
    rig = make_rig(with_addresses(site, mocks.addresses), tmp_path)
    try:
        (driver,) = rig.amplifiers.values()
        driver.open()
        driver.start()
        block = driver.read_block(LIMIT_S)
        assert block is not None
        assert block.samples.shape[1] == 60
        driver.stop()
    finally:
        rig.close()
        mocks.stop()


def test_check_refuses_patterns_and_unknown_channels(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(
        'schema_version = 1\nsite = "lab"\n[[amplifiers]]\nname = "oe1"\n'
        'driver = "open_ephys"\nhost = "h"\nchannels = ["A"]\nsample_rate_hz = 20000\n'
        'neurons = [{neuron = 1, channel = "B"}]\n'
        "[[amplifiers.patterns]]\npattern_id = 1\npost = 2\nchannels = ['A']\n"
        "first_amplitude_a = 1e-6\nfirst_duration_s = 1e-4\n"
        "second_amplitude_a = 1e-6\nsecond_duration_s = 1e-4\n"
    )
    text = " ".join(check_site(load_site(path)))
    assert "the Open Ephys GUI takes no stimuli from us" in text
    assert "neuron 1 is on channel B, which is not in channels" in text
