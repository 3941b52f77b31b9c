import math

import msgspec
import pytest

from app.config.limits import ChipLimits, DeviceLimits, StimulationLimits
from app.core.spikes import Provenance
from app.safety.ceilings import ceilings_of, check_limits
from app.safety.decider import Decider
from app.safety.profiles import check_profile, limits_in_force
from drivers.mea.protocol import Pattern
from drivers.smu.protocol import DeviceAddress
from tests.test_gate_rig import DEVICE, PULSE, array, chip, stimulator

KINDS = [StimulationLimits, DeviceLimits, ChipLimits]
FIELDS = [(kind, ceiling) for kind in KINDS for ceiling in ceilings_of(kind())]
SIGNED = {"reason": "thick electrodes", "confirmed_by": "B. Owner"}


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_may_be_in_force_and_every_number_has_a_ceiling(kind):
    assert check_limits(kind()) == []
    covered = {ceiling.field for ceiling in ceilings_of(kind())}
    assert covered == set(kind.__struct_fields__) - {
        "reason",
        "confirmed_by",
        "is_positive_raising",
        "allows_positive_first",
    }


@pytest.mark.parametrize(("kind", "ceiling"), FIELDS)
def test_the_ceiling_itself_is_allowed_if_signed_and_nothing_beyond_is(kind, ceiling):
    def verdict(value):
        return check_limits(kind(**{ceiling.field: value}, **SIGNED), "mea")

    assert not [s for s in verdict(ceiling.loosest) if "ceiling" in s]
    step = -1 if ceiling.is_floor else 1
    beyond = math.nextafter(ceiling.loosest, step * math.inf)
    for bad in (beyond, math.nan, math.inf, -math.inf, -1.0, True, "3", None):
        sentences = verdict(bad)
        assert len(sentences) == 1, bad
        assert sentences[0].startswith(f"mea: {ceiling.field} ")
        assert "hard ceiling" in sentences[0]


@pytest.mark.parametrize(("kind", "ceiling"), FIELDS)
def test_looser_than_the_default_needs_a_reason_and_a_name(kind, ceiling):
    default = getattr(kind(), ceiling.field)
    step = -math.inf if ceiling.is_floor else math.inf
    looser = math.nextafter(default, step)
    if not ceiling.allows(looser):
        pytest.skip("the default is the ceiling")
    for signature in (
        {},
        {"reason": "r"},
        {"confirmed_by": "c"},
        {"reason": " ", "confirmed_by": "c"},
    ):
        sentences = check_limits(kind(**{ceiling.field: looser}, **signature))
        assert len(sentences) == 1
        assert "limits override file" in sentences[0]
    assert check_limits(kind(**{ceiling.field: looser}, **SIGNED)) == []


@pytest.mark.parametrize(("kind", "ceiling"), FIELDS)
def test_tighter_than_the_default_needs_nothing(kind, ceiling):
    default = getattr(kind(), ceiling.field)
    tighter = math.nextafter(default, math.inf if ceiling.is_floor else 0)
    assert check_limits(kind(**{ceiling.field: tighter})) == []


def test_a_positive_first_phase_needs_a_reason_and_a_name():
    assert "allows_positive_first" in check_limits(StimulationLimits(allows_positive_first=True))[0]
    assert "positive" in check_limits(StimulationLimits(allows_positive_first="no"))[0]
    assert check_limits(StimulationLimits(allows_positive_first=True, **SIGNED)) == []


@pytest.mark.parametrize("compliance_a", [0.0, -1e-6, 100.001e-6, math.nan, math.inf])
def test_a_compliance_beyond_the_device_s_is_refused(compliance_a):
    sentences = check_profile(array(compliance_a=compliance_a))
    assert len(sentences) == 2
    assert "smu, device m1: compliance" in sentences[0]
    assert check_profile(array(compliance_a=100e-6)) == []
    assert check_profile(array(compliance_a=None)) == []


def test_a_range_without_inside_is_refused():
    limits = DeviceLimits(window_min_ohm=2e5, window_max_ohm=1e5)
    assert "window_min_ohm" in check_limits(limits)[0]
    assert check_limits(StimulationLimits(min_phase_s=1e-3, max_phase_s=1e-3))


def test_a_limit_of_nothing_is_a_limit():
    """It permits nothing at all, which an owner may want."""
    for _, ceiling in FIELDS:
        assert ceiling.allows(0) == (not ceiling.is_floor)


@pytest.mark.parametrize("area_um2", [1.0, 1e7])
def test_the_smallest_and_the_largest_area(area_um2):
    assert check_profile(stimulator(electrode_area_um2=area_um2)) == []


@pytest.mark.parametrize("area_um2", [0.0, -707.0, 0.5, 2e7, math.nan, math.inf])
def test_an_area_that_hides_the_density_is_refused(area_um2):
    assert "electrode area" in check_profile(stimulator(electrode_area_um2=area_um2))[0]


@pytest.mark.parametrize("read_voltage_v", [0.0, -0.1, 0.3, math.nan, math.inf])
def test_a_read_voltage_that_writes_is_refused(read_voltage_v):
    sentences = check_profile(array(read_voltage_v=read_voltage_v))
    assert len(sentences) == 2
    assert "smu, device m1: read voltage" in sentences[0]


def test_a_gate_takes_no_charge_of_what_it_may_not():
    too_loose = stimulator(limits=StimulationLimits(max_current_a=1e-3))
    with pytest.raises(ValueError, match="max_current_a 1 mA is beyond the hard ceiling"):
        Decider("padova", {"mea": too_loose}, ())
    with pytest.raises(ValueError, match="max_per_second"):
        Decider("padova", {"chip": chip(limits=ChipLimits(max_per_second=201))}, ())
    with pytest.raises(ValueError, match="name both alike"):
        Decider("padova", {"mea2": stimulator()}, ())
    with pytest.raises(ValueError, match="pattern 2 is listed as 1"):
        Decider("padova", {"mea": stimulator(patterns={1: Pattern(2, ("A-000",), PULSE)})}, ())


def test_the_version_of_the_limits_changes_with_everything_that_verdicts_depend_on():
    def version(*profiles):
        return limits_in_force({p.name: p for p in profiles})

    base = version(stimulator(), array(), chip())
    assert version(chip(), array(), stimulator()) == base
    others = [
        version(stimulator(electrode_area_um2=700.0), array(), chip()),
        version(stimulator(accepts_simulated=True), array(), chip()),
        version(stimulator(provenance=Provenance.LIVE), array(), chip()),
        version(stimulator(patterns={1: Pattern(1, ("A-000",), PULSE)}), array(), chip()),
        version(stimulator(limits=StimulationLimits(max_current_a=2e-6)), array(), chip()),
        version(stimulator(), array(devices={DEVICE: ("m1", DeviceLimits())}), chip()),
        version(stimulator(), array(devices={DeviceAddress(9, 9): ("m1", DeviceLimits())}), chip()),
        version(stimulator(), array(read_voltage_v=0.1), chip()),
        version(stimulator(), array(compliance_a=1e-5), chip()),
        version(stimulator(), array(), chip(neurons=(7,))),
        version(stimulator(), array(), chip(limits=ChipLimits(max_per_second=3))),
    ]
    assert len({base, *others}) == len(others) + 1
    assert msgspec.json.decode(base)
