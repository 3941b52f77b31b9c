"""Who may drive whom: what is simulated reaches no living culture unless its owner says so."""

import itertools
import math
from dataclasses import replace

import pytest

from app.core.spikes import Provenance
from app.safety.decider import Decider
from app.safety.inputs import Arm, BootDone
from app.safety.profiles import PlaybackProfile, check_profile, limits_in_force
from app.safety.requests import CauseKind, RefusalReason
from drivers.permit import DriveNeuron, Permit, PulseDevice, Stimulate
from tests.test_gate_rig import PULSE_DEVICE, Rig, armed_rig, array, chip, stimulator

LIVE, MOCK, PLAYBACK = Provenance
CAUSES = list(itertools.product(Provenance, CauseKind))
SPARE = replace(chip(), name="spare")


@pytest.mark.parametrize(("cause", "kind"), CAUSES)
@pytest.mark.parametrize(
    ("actuator", "accepts_simulated"), list(itertools.product(Provenance, [False, True]))
)
def test_every_cause_on_every_culture(cause, kind, actuator, accepts_simulated):
    culture = stimulator(provenance=actuator, accepts_simulated=accepts_simulated)
    expected = None
    if actuator is PLAYBACK:
        expected = RefusalReason.PLAYBACK
    elif actuator is LIVE and cause is not LIVE and not accepts_simulated:
        expected = RefusalReason.PROVENANCE
    rig = armed_rig(culture, SPARE)
    assert rig.reason(Stimulate(1), provenance=cause, kind=kind) is expected
    assert rig.gate.snapshot().n_permits == (expected is None)


NINE = {
    # source, actuator: what becomes of a stimulus
    (LIVE, LIVE): "allowed",
    (LIVE, MOCK): "allowed",
    (LIVE, PLAYBACK): "refused always",
    (MOCK, LIVE): "refused unless the site file accepts simulated causes",
    (MOCK, MOCK): "allowed",
    (MOCK, PLAYBACK): "refused always",
    (PLAYBACK, LIVE): "refused unless the site file accepts simulated causes",
    (PLAYBACK, MOCK): "allowed",
    (PLAYBACK, PLAYBACK): "refused always",
}


@pytest.mark.parametrize(("pair", "word"), NINE.items())
def test_the_nine_pairs_of_source_and_actuator(pair, word):
    source, actuator = pair
    reasons = []
    for accepts_simulated in (False, True):
        culture = (
            PlaybackProfile("mea")
            if actuator is PLAYBACK
            else stimulator(provenance=actuator, accepts_simulated=accepts_simulated)
        )
        rig = armed_rig(culture, SPARE)
        reasons.append(rig.reason(Stimulate(1), provenance=source))
    expected = {
        "allowed": [None, None],
        "refused always": [RefusalReason.PLAYBACK] * 2,
        "refused unless the site file accepts simulated causes": [RefusalReason.PROVENANCE, None],
    }
    assert reasons == expected[word]


@pytest.mark.parametrize("cause", Provenance)
@pytest.mark.parametrize("actuator", [LIVE, MOCK])
def test_simulated_spikes_may_drive_what_is_not_alive(cause, actuator):
    rig = armed_rig(array(provenance=actuator), chip(provenance=actuator))
    assert rig.reason(PULSE_DEVICE, provenance=cause) is None
    assert rig.reason(DriveNeuron(7, 200), provenance=cause) is None


@pytest.mark.parametrize("site", ["padova", "zurich"])
def test_a_simulated_cause_stays_simulated_wherever_it_comes_from(site):
    rig = armed_rig(stimulator(provenance=LIVE))
    refusal = rig.ask(Stimulate(1), provenance=MOCK, site=site)
    assert refusal.reason is RefusalReason.PROVENANCE
    assert f"the cause from {site} is mock" in refusal.sentence
    assert "accepts_simulated" in refusal.sentence


def playing_rig() -> Rig:
    return Rig(PlaybackProfile("mea"), chip())


@pytest.mark.parametrize("action", [Stimulate(1), Stimulate(math.nan), PULSE_DEVICE, "odd"])
def test_playback_is_the_first_reason_whatever_the_state_and_the_request(action):
    rig = playing_rig()

    def refusal():
        verdict = rig.ask(action, instrument="mea", provenance=LIVE)
        assert verdict.sentence.startswith("mea: playback cannot stimulate")
        return verdict.reason

    assert refusal() is RefusalReason.PLAYBACK
    assert rig.gate.boot_done(rig.now_ns) is None
    assert refusal() is RefusalReason.PLAYBACK
    assert rig.arm() is None
    assert refusal() is RefusalReason.PLAYBACK
    rig.gate.trip("test", rig.now_ns)
    assert refusal() is RefusalReason.PLAYBACK
    assert rig.gate.snapshot().n_permits == 0
    assert [row.reason for row in rig.rows] == ["playback cannot stimulate"] * 4


def test_another_instrument_of_that_site_is_refused_for_its_own_reason():
    rig = playing_rig()
    assert rig.reason(DriveNeuron(7, 1)) is RefusalReason.BOOT
    rig.gate.boot_done(rig.now_ns)
    assert rig.reason(DriveNeuron(7, 1)) is RefusalReason.DISARMED


@pytest.mark.parametrize("by_program", [True, False])
def test_a_playback_alone_arms_nobody_and_is_named(by_program):
    rig = Rig(PlaybackProfile("tape b"), PlaybackProfile("tape a"))
    rig.gate.boot_done(rig.now_ns)
    refusal = rig.arm(by_program=by_program)
    assert refusal.reason is RefusalReason.NO_ACTUATOR
    assert "tape a, tape b: playback cannot stimulate" in refusal.sentence
    assert rig.state == "disarmed"


def test_a_site_without_instruments_arms_nobody():
    decider = Decider("padova", {}, ())
    arm = Arm(who="ada", reason="test", expires_ns=9, by_program=True, is_operator=True)
    assert decider.apply(BootDone(), 1).refusal is None
    refusal = decider.apply(arm, 2).refusal
    assert refusal.reason is RefusalReason.NO_ACTUATOR
    assert "none at all" in refusal.sentence


@pytest.mark.parametrize(
    ("provenances", "may_program"),
    [
        ((MOCK, MOCK), True),
        ((PLAYBACK, MOCK), True),
        ((MOCK, LIVE), False),
        ((PLAYBACK, LIVE), False),
        ((LIVE, LIVE), False),
    ],
)
def test_a_program_arms_mocks_alone_and_a_playback_does_not_count(provenances, may_program):
    def rig():
        mea, other = provenances
        culture = PlaybackProfile("mea") if mea is PLAYBACK else stimulator(provenance=mea)
        made = Rig(culture, chip(provenance=other))
        made.gate.boot_done(made.now_ns)
        return made

    assert rig().arm() is None
    by_program = rig()
    refusal = by_program.arm(by_program=True, is_operator=False)
    assert by_program.state == ("armed" if may_program else "disarmed")
    if not may_program:
        assert refusal.reason is RefusalReason.NOT_ENTITLED
        assert "chip" in refusal.sentence


def test_an_armed_site_with_a_playback_drives_the_rest():
    rig = playing_rig()
    rig.gate.boot_done(rig.now_ns)
    assert rig.arm(by_program=True) is None
    assert isinstance(rig.ask(DriveNeuron(7, 1), provenance=PLAYBACK), Permit)
    assert rig.reason(PulseDevice(1, 1, 1.0, 1e-6)) is RefusalReason.UNKNOWN_INSTRUMENT


def test_a_playback_has_nothing_to_check_and_is_part_of_the_version():
    tape = PlaybackProfile("mea")
    assert tape.provenance is PLAYBACK
    assert check_profile(tape) == []
    assert limits_in_force({"mea": tape}) != limits_in_force({})
    with pytest.raises(ValueError, match="name both alike"):
        Decider("padova", {"other": tape}, ())
