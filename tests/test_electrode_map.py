"""Electrode maps and bad channels: read, joined to channels, and refused where they do not fit."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from recordings import write_probe

from app.cli import main
from app.config.check import check_site
from app.config.electrode_map import electrode_table, read_positions_um
from app.config.load import ConfigError, load_site
from app.core.detector import Detector
from app.core.detector_settings import DetectorSettings
from app.engine.wiring import detector_settings
from app.exit_codes import ExitCode
from drivers.mea.protocol import SampleBlock, StreamFormat

CHAIN = Path(__file__).parents[1] / "app" / "demo" / "chain2020"
NAMES = ("CH1", "CH2", "CH3")


def test_contacts_belong_to_the_channels_that_are_counted(tmp_path: Path) -> None:
    probe = write_probe(tmp_path / "map.json", 3, [2, -1, 0])
    places = read_positions_um(probe, NAMES)
    assert places[0].tolist() == [200.0, 50.0]
    assert np.isnan(places[1]).all(), "a contact that is connected to nothing has no channel"
    assert places[2].tolist() == [0.0, 50.0]


def test_without_counts_the_names_of_contacts_are_those_of_channels(tmp_path: Path) -> None:
    probe = write_probe(tmp_path / "map.json", 3, None, contact_ids=["CH3", "X", "CH1"])
    places = read_positions_um(probe, NAMES)
    assert places[2, 0] == 0.0
    assert places[0, 0] == 200.0
    assert np.isnan(places[1]).all()


def test_millimetres_become_micrometres(tmp_path: Path) -> None:
    probe = write_probe(tmp_path / "map.json", 3, [0, 1, 2], si_units="mm")
    assert read_positions_um(probe, NAMES)[1].tolist() == [100_000.0, 50_000.0]


@pytest.mark.parametrize(
    ("columns", "changes", "words"),
    [
        ([0, 1, 3], {}, "device channel 3 of 3 channels"),
        ([0, 0, 1], {}, "two contacts for channel CH1"),
        ([-1, -1, -1], {}, "none of its contacts"),
        (None, {"contact_ids": ["a", "b", "c"]}, "none of its contacts"),
        ([0, 1, 2], {"si_units": "inch"}, "inch"),
        ([0, 1, 2], {"contact_positions": [[0, 0]]}, "not a probeinterface file"),
    ],
)
def test_a_map_that_does_not_fit_is_named(
    columns: list[int] | None, changes: dict[str, object], words: str, tmp_path: Path
) -> None:
    probe = write_probe(tmp_path / "map.json", 3, columns, **changes)
    with pytest.raises(ConfigError, match=words) as caught:
        read_positions_um(probe, NAMES)
    assert str(probe) in str(caught.value)


def test_check_names_a_map_that_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = Path(shutil.copytree(CHAIN, tmp_path / "chain"))
    site_file = chain / "padova.toml"
    text = site_file.read_text()
    site_file.write_text(
        text.replace('driver = "intan_rhx"', 'driver = "intan_rhx"\nprobe = "map.json"')
    )
    assert load_site(site_file).amplifiers[0].probe == "map.json"
    assert main(["check", "--offline", str(site_file)]) == ExitCode.FAILED
    assert "map.json: no such file" in capsys.readouterr().out
    n_channels = len(load_site(site_file).amplifiers[0].channels)
    write_probe(chain / "map.json", n_channels, list(range(n_channels)))
    assert main(["check", "--offline", str(site_file)]) == ExitCode.OK
    write_probe(chain / "map.json", n_channels + 1, list(range(n_channels + 1)))
    assert main(["engine", str(site_file)]) == ExitCode.USAGE
    assert f"of {n_channels} channels" in capsys.readouterr().err


def test_nothing_rests_on_a_bad_channel() -> None:
    site = load_site(CHAIN / "padova.toml")
    amplifier = site.amplifiers[0]
    pattern = amplifier.patterns[0]
    bad = (amplifier.neurons[0].channel, pattern.channels[0], "Z-999")
    spoilt = msgspec.structs.replace(
        site, amplifiers=(msgspec.structs.replace(amplifier, bad_channels=bad),)
    )
    text = " ".join(check_site(spoilt))
    assert f"is on channel {bad[0]}, which is in bad_channels" in text
    assert f"pattern {pattern.pattern_id} uses channel {bad[1]}, which is in bad_channels" in text
    assert "bad_channels names channel Z-999, which is not in channels" in text
    assert not check_site(site)


def test_the_record_says_where_electrodes_are_and_which_are_bad(tmp_path: Path) -> None:
    amplifier = load_site(CHAIN / "padova.toml").amplifiers[0]
    write_probe(tmp_path / "map.json", 2, [1, -1])
    mapped = msgspec.structs.replace(amplifier, probe="map.json", bad_channels=("B",))
    assert electrode_table(tmp_path / "site.toml", mapped, ("A", "B", "C")) == [
        {"channel": "A", "is_bad": False},
        {"channel": "B", "is_bad": True, "x_um": 0.0, "y_um": 50.0},
        {"channel": "C", "is_bad": False},
    ]


def test_detection_that_cannot_be_is_a_conflict() -> None:
    site = load_site(CHAIN / "padova.toml")
    amplifier = site.amplifiers[0]
    good, bad = amplifier.channels[:2]
    detection = msgspec.structs.replace(
        amplifier.detection,
        threshold_uv={good: 50.0, bad: 60.0, "Z-999": 70.0},
        channel_threshold_sigma={"Z-998": 6.0, "Z-999": 6.0},
        band_low_hz=6000.0,
        band_high_hz=300.0,
    )
    changed = msgspec.structs.replace(amplifier, detection=detection, bad_channels=(bad,))
    text = " ".join(check_site(msgspec.structs.replace(site, amplifiers=(changed,))))
    assert "band 6000 to 300 Hz, its edges must rise" in text
    assert f"a fixed threshold is set for channel {bad}, which is in bad_channels" in text
    assert "a fixed threshold is set for channel Z-999, which is not in channels" in text
    assert "a threshold in sigma is set for channel Z-998, which is not in channels" in text
    assert "channel Z-999 has a threshold in uV and one in sigma" in text
    assert f"channel {good}" not in text


def test_what_the_site_says_reaches_the_detector() -> None:
    amplifier = load_site(CHAIN / "padova.toml").amplifiers[0]
    detection = msgspec.structs.replace(
        amplifier.detection,
        n_poles_per_edge=2,
        has_common_reference=True,
        threshold_uv={"A-000": 50.0},
        channel_threshold_sigma={"A-001": 6.0},
        saturation_uv=5000.0,
        max_rate_hz=200.0,
        coincidence_fraction=0.5,
    )
    settings = detector_settings(msgspec.structs.replace(amplifier, detection=detection), 60)
    for name in msgspec.structs.asdict(detection):
        if hasattr(settings, name):
            assert getattr(settings, name) == getattr(detection, name), name
    assert settings.has_common_reference
    assert settings.n_poles_per_edge == 2


def test_a_bad_channel_is_not_searched_and_counts_in_no_veto() -> None:
    names = tuple(f"CH{c}" for c in range(8))
    settings = DetectorSettings(coincidence_fraction=0.9)
    rng = np.random.default_rng(3)
    samples = rng.normal(0, 25, (60_000, 8)).astype(np.int16)
    for place in range(30_000, 58_000, 4_000):
        samples[place : place + 6, :5] -= 800  # on five of eight, or on five of five
    block = SampleBlock(samples, 0, 0, 0)
    stream = StreamFormat(names, 20_000.0, 0.2)
    whole = Detector(stream, settings).process(block)
    excluding = Detector(stream, settings, ("CH5", "CH6", "CH7")).process(block)
    assert whole.n_vetoed == 0
    assert excluding.n_vetoed == 7 * 5, "all channels at work crossed at once"
    samples[:, 7] -= (samples[:, 6] < -90) * 1000
    found = Detector(stream, settings, ("CH7",)).process(SampleBlock(samples, 0, 0, 0))
    assert 7 not in found.spikes["channel"]


def test_a_bad_channel_is_in_no_common_reference() -> None:
    names = tuple(f"CH{c}" for c in range(4))
    settings = DetectorSettings(has_common_reference=True)
    rng = np.random.default_rng(5)
    samples = rng.normal(0, 25, (30_000, 4)).astype(np.int16)
    stream = StreamFormat(names, 20_000.0, 0.2)

    def found(bad_uv: float) -> list[tuple[int, int]]:
        samples[:, 2:] = (bad_uv / 0.2) * np.sign(np.sin(np.arange(30_000) / 3))[:, None]
        detector = Detector(stream, settings, ("CH2", "CH3"))
        spikes = detector.process(SampleBlock(samples.copy(), 0, 0, 0)).spikes
        return [(int(s["sample_index"]), int(s["channel"])) for s in spikes]

    assert found(0.0) == found(1000.0)
