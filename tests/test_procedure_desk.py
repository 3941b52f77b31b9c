"""Procedures inside an engine: the instrument lent, points told as they come, files kept."""

import json
import threading
from pathlib import Path

import pytest
from chain_rig import until
from desk_rig import WHO, DeskRig, desk_open

from app.bench.arc_csv import read_session
from app.bench.keeping import read_points
from app.config.experiment import PulsePair, RateRule, Synapse, WeightMap
from app.console.happenings import ProcedureEnded
from app.console.messages import CommandRefusedError
from app.safety.state import GateState
from app.synapse.device_worker import SynapseDevice
from app.synapse.network import PulseWanted
from app.synapse.rules import LTP


def test_a_reading_goes_to_consoles_files_array_and_record(tmp_path: Path) -> None:
    with desk_open(tmp_path) as rig:
        ended = rig.run("read", times=3, temperature_c=21.5)
        assert ended.is_well
        assert [line.split(":")[0] for line in ended.lines] == ["a", "b"]
        folder = Path(ended.folder)
        assert folder == tmp_path / "bench" / "001-read"
        assert rig.points(1) == read_points(folder / "bench-points.jsonl")
        assert len(read_session(folder / "bench-read.csv")) == ended.n_points == 6
        facts = json.loads((folder / "bench-read.json").read_bytes())
        assert (facts["temperature_c"], facts["who"], facts["arguments"]["times"]) == (21.5, WHO, 3)
        page = rig.desk.page(0)
        assert [d["name"] for d in page["devices"]] == ["a", "b"]
        assert 4500 < page["devices"][0]["resistance_ohm"] < 5500
        assert any("procedure 1 read began (test): all devices; times 3" in n for n in rig.notes())
        assert any(n.startswith("procedure 1 read ended: a: ") for n in rig.notes())


def test_figures_and_hdf5_follow_from_a_process_of_their_own(tmp_path: Path) -> None:
    with desk_open(tmp_path) as rig:
        rig.run("iv", devices="a", up=0.5, down=0.5, width=1e-3)
        until(
            lambda: len([h for h in rig.happened if isinstance(h, ProcedureEnded)]) == 2,
            "drawn",
            60,
        )
        assert set(rig.happened[-1].files) == {
            "bench-iv.csv", "bench-iv.h5", "bench-iv.json", "bench-iv.png", "bench-points.jsonl",
        }  # fmt: skip


def test_a_model_is_fitted_to_what_a_procedure_measured(tmp_path: Path) -> None:
    with desk_open(tmp_path) as rig:
        rig.run(
            "map", devices="a", volts="1.2 1.4 1.6 -1.2 -1.4 -1.6", widths="1e-4 1e-3", repeats=3
        )
        assert rig.desk.fit(1, WHO) == {"folder": str(tmp_path / "bench" / "001-map")}

        def fits() -> list[ProcedureEnded]:
            ends = (h for h in rig.happened if isinstance(h, ProcedureEnded))
            return [end for end in ends if end.procedure == "fit"]

        until(lambda: bool(fits()), "fitted", 60.0)
        (fitted,) = fits()
        assert fitted.is_well, fitted.lines
        assert "pulses that the fit did not see" in fitted.lines[0]
        assert (tmp_path / "bench" / "001-map" / "device-model.json").exists()
        with pytest.raises(CommandRefusedError, match="no procedure 7"):
            rig.desk.fit(7, WHO)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"procedure": "dance"}, "'dance' is none of read, pulse"),
        ({"procedure": "unfreeze", "devices": "a"}, "is none of"),
        ({"procedure": "iv"}, "name one device, not 0"),
        ({"procedure": "iv", "devices": "x"}, "no device 'x' in the site file, it has a, b"),
        ({"procedure": "iv", "devices": "a", "up": float("nan")}, "up: nan is outside"),
        ({"procedure": "iv", "devices": "a", "up": True}, "a number is needed"),
        ({"procedure": "iv", "devices": "a", "uq": 1.0}, "uq: not asked for"),
        ({"procedure": "pulse", "devices": "a", "volts": 1.0}, "width must be given"),
        ({"procedure": "map", "devices": "a", "volts": "1,5", "widths": "1"}, "with a point"),
        ({"procedure": "read", "times": 1.5}, "not a whole number"),
        ({"procedure": "read", "unit": "smu7"}, "no source-measure unit here"),
        ({"procedure": "read", "temperature-c": 1e6}, "temperature-c"),
    ],
)
def test_an_order_that_is_not_understood_is_refused_in_a_sentence(
    tmp_path: Path, given: dict[str, object], why: str
) -> None:
    rig = DeskRig(tmp_path)
    with pytest.raises(CommandRefusedError, match=why):
        rig.desk.start(WHO, "test", given, is_operator=True)
    assert not rig.desk.status()


def test_one_procedure_at_a_time_and_an_abort_ends_it_and_disarms(tmp_path: Path) -> None:
    with desk_open(tmp_path) as rig:
        rig.start("endurance", devices="a", volts=1.2, width=1e-4, cycles=100_000)
        until(lambda: rig.desk.status()[0]["n_points"] > 5, "some pulses")
        with pytest.raises(CommandRefusedError, match="a procedure runs already"):
            rig.start("read")
        assert rig.desk.abort(WHO) == 1
        ended = rig.ended(1)
        assert ended.lines == ("aborted; what was measured is kept",)
        assert rig.gate.snapshot().state is GateState.DISARMED
        assert len(rig.points(1)) == ended.n_points
        assert rig.run("read").is_well  # and the instrument is there for the next


def test_an_abort_of_a_reading_leaves_the_arming(tmp_path: Path) -> None:
    with desk_open(tmp_path) as rig:
        rig.start("retention", devices="a", seconds=1e5, interval=1e3)
        until(lambda: rig.desk.status()[0]["n_points"] == 1, "the first reading")
        rig.desk.abort(WHO)
        assert not rig.ended(1).is_well
        assert rig.gate.snapshot().state is GateState.ARMED


def test_a_trip_ends_a_procedure_before_its_next_pulse(tmp_path: Path) -> None:
    with desk_open(tmp_path) as rig:
        rig.start("endurance", devices="a", volts=1.2, width=1e-4, cycles=100_000)
        until(lambda: rig.desk.status()[0]["n_points"] > 5, "some pulses")
        rig.gate.trip("test", 0)
        (line,) = rig.ended(1).lines
        assert line.startswith("ended: ")
        n_pulses = rig.smu.crossbar.n_pulses
        with pytest.raises(CommandRefusedError, match="name one device"):
            rig.start("pulse", volts=1.0, width=1e-4)
        assert rig.smu.crossbar.n_pulses == n_pulses


def test_a_silent_instrument_is_let_go_of_made_safe_and_opened_again(tmp_path: Path) -> None:
    answers = threading.Event()
    with desk_open(tmp_path) as rig:
        rig.smu.before_each = lambda: answers.wait(20.0)
        rig.start("read")
        until(lambda: rig.desk.status()[0]["text"].startswith("reading"), "begun")
        rig.desk.abort(WHO)
        until(lambda: rig.smu.is_safe, "made safe")
        answers.set()
        assert "let go" in rig.ended(1).lines[0] or "not confirmed safe" in rig.ended(1).lines[0]
        until(lambda: not rig.smu.is_safe, "opened again by its owner")
        assert rig.run("read").is_well


def test_forming_needs_an_operators_arm_and_names_one_device(tmp_path: Path) -> None:
    with desk_open(tmp_path) as rig:
        asked = {"procedure": "form", "devices": "a", "start": 1.2, "stop": 2.0, "width": 1e-3}
        number = rig.desk.start("nobody", "test", asked, is_operator=False)["number"]
        assert "is not armed" in rig.ended(number).lines[0]
        ended = rig.run("form", devices="a", start=1.2, stop=2.0, width=1e-3)
        assert "formed at" in ended.lines[0], ended
        assert rig.desk.page(0)["devices"][0]["n_formings"] == 1


def test_what_is_frozen_stays_so_over_sessions_until_the_gate_says_otherwise(
    tmp_path: Path,
) -> None:
    with desk_open(tmp_path) as rig:
        ended = rig.run("pulse", devices="a", volts=0.8, width=1e-5)
        assert not ended.is_well
        assert rig.desk.page(0)["devices"][0]["frozen"] == {"up": "unmoved by +0.8 V"}
    again = DeskRig(tmp_path)
    assert [f.reason for f in again.gate.snapshot().frozen_devices] == ["unmoved by +0.8 V"]
    for f in again.gate.snapshot().frozen_devices:
        assert again.gate.unfreeze("smu1", _address(again), f.direction, WHO, 0) is None
    assert again.desk.page(0)["devices"][0]["frozen"] == {}


def test_meanwhile_rules_pulse_nothing_and_weights_follow_the_readings(tmp_path: Path) -> None:
    bare = DeskRig(tmp_path)
    synapse = Synapse(
        id=1, name="s", pre=1, post=2, site="lab", device="a",
        weight=WeightMap(r_min_ohm=4000.0, r_max_ohm=9000.0), rule=RateRule(),
        pulse=PulsePair(
            ltp_amplitude_v=1.5, ltp_width_s=1e-4, ltd_amplitude_v=-1.5, ltd_width_s=1e-4
        ),
    )  # fmt: skip
    with desk_open(tmp_path / "x", {1: SynapseDevice(synapse, bare.config.devices[0])}) as rig:
        rig.start("retention", devices="a", seconds=1e5, interval=1e3)
        until(lambda: rig.desk.status()[0]["n_points"] == 1, "the first reading")
        n_readings = len(rig.readings)
        assert n_readings == 2  # at the start, and the procedure's
        rig.worker.submit(PulseWanted(1, LTP, 10**15, 1))
        until(lambda: bool(rig.pulses), "the wanted pulse is recorded")
        assert (rig.pulses[0].verdict, rig.smu.crossbar.n_pulses) == ("not sent", 0)
        assert rig.pulses[0].detail == "procedure 1 retention uses the instrument"
        rig.desk.abort(WHO)
        rig.ended(1)
        until(lambda: len(rig.readings) == n_readings + 1, "read again after it")


def _address(rig: DeskRig) -> object:
    return next(s.address for s in rig.gate.snapshot().spent if s.device == "a")
