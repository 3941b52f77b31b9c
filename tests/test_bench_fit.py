"""Fitting the switching model: the mock's constants come back, and a mock loads them."""

from pathlib import Path

import numpy as np
import pytest

from app.bench.arc_csv import read_session, responses_in, write_session
from app.bench.errors import BenchError
from app.bench.fit import fit
from app.bench.switching_model import Responses, rms_error
from app.config.load import ConfigError
from app.core.measured import Point
from mocks.memristor import PRESETS, switched_ohm
from mocks.memristor_file import model_from
from mocks.memristor_noise import NOISE_MILD, NOISE_OFF, Memristor

N_SEEN = 120


def measured(preset, noise, n=180, seed=1):
    """Return what a map of a simulated device measures."""
    model, rng = PRESETS[preset], np.random.default_rng(seed)
    device = Memristor(model, 6000.0, noise, rng)
    largest_v = {"A": 2.2, "B": 1.6, "C": 4.4}[preset]
    amplitudes = np.concatenate([s * np.linspace(0.6, 1.0, 8) * largest_v for s in (1, -1)])
    widths = np.geomspace(1e-5, 1e-3, 5)
    rows = []
    for k in range(n):
        amplitude_v, width_s = rng.choice(amplitudes), rng.choice(widths)
        before = device.read_ohm(model.reference_v, 50, k)
        device.pulse(amplitude_v, width_s, k)
        rows.append((before, amplitude_v, width_s, device.read_ohm(model.reference_v, 50, k)))
    return Responses(*np.array(rows).T)


def parted(responses):
    seen = np.arange(len(responses)) < N_SEEN
    return responses.where(seen), responses.where(~seen)


@pytest.mark.parametrize("preset", "ABC")
def test_without_noise_the_constants_come_back(preset):
    seen, unseen = parted(measured(preset, NOISE_OFF))
    fitted = fit(seen, PRESETS[preset].reference_v)
    for found, true in (
        (fitted.model.positive, PRESETS[preset].positive),
        (fitted.model.negative, PRESETS[preset].negative),
    ):
        assert found.rate_per_ohm_s == pytest.approx(true.rate_per_ohm_s, rel=1e-3)
        assert found.threshold_v == pytest.approx(true.threshold_v, rel=1e-3)
        assert found.slope_v == pytest.approx(true.slope_v, rel=1e-3)
        assert found.bound_ohm == pytest.approx(true.bound_ohm, rel=1e-3)
    assert rms_error(fitted.model, unseen) < 1e-4


@pytest.mark.parametrize("preset", "ABC")
def test_with_noise_unseen_pulses_are_predicted_within_five_percent(preset):
    seen, unseen = parted(measured(preset, NOISE_MILD))
    fitted = fit(seen, PRESETS[preset].reference_v)
    assert rms_error(fitted.model, unseen) < 0.05
    moved = np.abs(unseen.after_ohm / unseen.before_ohm - 1)
    assert np.sqrt(np.mean(moved**2)) > 0.05  # they were not all too small to be wrong about


def test_our_law_is_the_mock_s_law():
    seen, _ = parted(measured("B", NOISE_OFF))
    model = fit(seen, 0.5).model
    for before, volts, width in ((5000.0, 1.5, 1e-4), (9000.0, -1.8, 1e-3), (4000.0, 0.9, 1.0)):
        ours = model.after_ohm(np.array([before]), np.array([volts]), np.array([width]))[0]
        assert ours == pytest.approx(switched_ohm(PRESETS["B"], before, volts, width), rel=1e-3)


def test_a_mock_loads_what_the_fit_saved(tmp_path: Path):
    seen, _ = parted(measured("B", NOISE_OFF))
    fitted = fit(seen, 0.5)
    fitted.model.save(tmp_path / "device.json")
    loaded = model_from(tmp_path / "device.json")
    assert loaded.reference_v == 0.5
    assert loaded.positive.threshold_v == fitted.model.positive.threshold_v
    assert loaded.negative.bound_ohm == fitted.model.negative.bound_ohm
    (tmp_path / "device.json").write_text('{"positive": {}}', encoding="utf-8")
    with pytest.raises(ValueError, match="device model"):
        model_from(tmp_path / "device.json")


def test_too_little_is_refused_by_name():
    few = measured("B", NOISE_OFF, n=6)
    with pytest.raises(BenchError, match="needed are 8 and 4"):
        fit(few, 0.5)
    below = Responses(*(np.full(40, x) for x in (5000.0, 0.5, 1e-4, 5000.0)))
    with pytest.raises(BenchError, match="0 of which moved"):
        fit(below, 0.5)


def point(tag, ohm, amplitude_v, width_s, place=(12, 21), **more):
    return Point(
        time_ns=0,
        wordline=place[0],
        bitline=place[1],
        device="x",
        tag=tag,
        resistance_ohm=ohm,
        read_voltage_v=0.5,
        amplitude_v=amplitude_v,
        width_s=width_s,
        **more,
    )


class TestSessionFile:
    def test_it_is_written_as_the_vendor_s_program_does(self, tmp_path: Path):
        points = [
            point("S", 5000.0, 0.5, 0.0),
            point("S", 7000.0, 0.5, 0.0, (1, 1)),
            point("P", 5431.0, 1.5, 1e-4),
            point("CT", 5400.0, 0.1, 1e-3, pulse_v=0.0999, current_a=2e-5),
            point("CT", None, 0.2, 1e-3),
            point("CT", 5402.0, 0.3, 1e-3),
            point("CT", 5403.0, 0.2, 1e-3),
        ]
        write_session(tmp_path / "s.csv", "arc1 test", points)
        lines = (tmp_path / "s.csv").read_text(encoding="utf-8").splitlines()
        assert lines[0] == "arc1 test"
        assert lines[2] == (
            "Wordline, Bitline, Resistance, Amplitude (V), Pulse width (s), Tag, ReadTag, "
            "ReadVoltage"
        )
        assert lines[3:] == [
            "1,1,7000,0.5,0,S R2 V=0.5,R2,0.5",
            "12,21,5000,0.5,0,S R2 V=0.5,R2,0.5",
            "12,21,5431,1.5,0.0001,P,R2,0.5",
            "12,21,4995,0.0999,0.001,CT_s,R2,0.5",  # at the step's voltage, as in the format
            "12,21,5402,0.3,0.001,CT_i,R2,0.5",
            "12,21,5403,0.2,0.001,CT_e,R2,0.5",
        ]

    def test_pulses_are_found_again_with_what_was_before_them(self, tmp_path: Path):
        points = [point("S", 5000.0, 0.5, 0.0), point("P", 5431.0, 1.5, 1e-4)]
        write_session(tmp_path / "s.csv", "x", points)
        responses = responses_in(read_session(tmp_path / "s.csv"))
        assert [a.tolist() for a in (responses.before_ohm, responses.after_ohm)] == [[5000], [5431]]
        assert len(responses_in([])) == 0

    @pytest.mark.parametrize("content", ["", "a\nb\nWordline, Other\n", None])
    def test_what_is_none_is_refused(self, tmp_path: Path, content):
        path = tmp_path / "s.csv"
        if content is not None:
            path.write_text(content, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"s\.csv"):
            read_session(path)

    def test_a_bad_row_is_named(self, tmp_path: Path):
        write_session(tmp_path / "s.csv", "x", [point("S", 5000.0, 0.5, 0.0)])
        with (tmp_path / "s.csv").open("a", encoding="utf-8") as file:
            file.write("1,1,abc,0.5,0,S,R2,0.5\n")
        with pytest.raises(ConfigError, match="line 5"):
            read_session(tmp_path / "s.csv")
