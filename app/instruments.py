"""From the instruments in `site.toml` to drivers, and to what the Gate must know of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.config.amplifiers import (
    Amplifier,
    ImpedanceLimits,
    IntanRhxAmplifier,
    OpenEphysAmplifier,
    PlaybackAmplifier,
    StimPattern,
)
from app.config.site import AerUdpChip, Site
from app.core.clock import monotonic_ns
from app.core.spikes import Provenance
from app.mock_rig import with_addresses
from app.run_folder import RigLock, RunFolder
from app.safety.make_safe import make_all_safe
from app.safety.profiles import (
    ActuatorProfile,
    ChipProfile,
    DeviceArrayProfile,
    PlaybackProfile,
    StimulatorProfile,
    check_profile,
)
from app.safety.stimulation_limits import refused_patterns
from app.smu_drivers import make_smu
from drivers.errors import InstrumentError, SafetyLimitError
from drivers.mea.intan_rhx.driver import IntanRhx
from drivers.mea.intan_rhx.settings import IntanRhxSettings
from drivers.mea.open_ephys.driver import OpenEphysGui
from drivers.mea.open_ephys.settings import OpenEphysSettings
from drivers.mea.playback.driver import Playback
from drivers.mea.protocol import CurrentPulse, MeaAmplifier, Pattern
from drivers.neuron.aer_udp.driver import AerUdp
from drivers.neuron.aer_udp.settings import AerUdpSettings
from drivers.neuron.protocol import NeuronChip
from drivers.safe_state import SafeReport
from drivers.smu.protocol import DeviceAddress, SourceMeasureUnit

SWITCH_OFF_LIMIT_S = 4.0
"""Connecting anew takes longer than a driver that is connected needs."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether an instrument answers, in a sentence."""

    instrument: str
    is_well: bool
    sentence: str


@dataclass(slots=True)
class Rig:
    """The drivers of one site, made but not opened."""

    amplifiers: dict[str, MeaAmplifier]
    smus: dict[str, SourceMeasureUnit]
    chips: dict[str, NeuronChip]

    def close(self) -> None:
        """Make every instrument safe and let go of it."""
        for driver in self.all():
            driver.close()

    def all(self) -> list[MeaAmplifier | SourceMeasureUnit | NeuronChip]:
        """Return every driver."""
        return [*self.amplifiers.values(), *self.smus.values(), *self.chips.values()]


def make_rig(site: Site, folder: Path) -> Rig:
    """Make the drivers of a site; touches no hardware. `folder` is that of site.toml.

    Raises
    ------
    SafetyLimitError
        A setting is beyond what an instrument can do.
    """
    return Rig(
        amplifiers={a.name: _amplifier(a, folder) for a in site.amplifiers},
        smus={smu.name: make_smu(smu) for smu in site.smus},
        chips={chip.name: _aer_udp(chip) for chip in site.chips},
    )


def open_all(rig: Rig) -> list[str]:
    """Open every driver; return a sentence on each failure: one visit to the rig cures them all."""
    failures = []
    for driver in rig.all():
        try:
            driver.open()
        except InstrumentError as exc:
            failures.append(f"{driver.name}: {exc}")
    return failures


def probe(rig: Rig) -> list[Answer]:
    """Ask each instrument whether it answers; opens and closes, changes no output."""
    answers = []
    for driver in rig.all():
        try:
            driver.open()
        except InstrumentError as exc:
            answers.append(Answer(driver.name, is_well=False, sentence=f"does not answer: {exc}"))
        else:
            answers.append(Answer(driver.name, is_well=True, sentence="answers"))
        finally:
            driver.close()
    return answers


def rig_at_hand(site_file: Path, site: Site) -> Rig:
    """Return the rig where it is now: in mock mode at the addresses of the running mocks."""
    addresses = RunFolder(site_file, site).read_addresses()
    return make_rig(with_addresses(site, addresses), site_file.parent)


def probe_instruments(site_file: Path, site: Site) -> list[Answer]:
    """Ask each instrument of a site whether it answers; an engine at work is not disturbed."""
    rig = rig_at_hand(site_file, site)
    holder = RigLock(RunFolder(site_file, site).lock).holder()
    if holder is None:
        return probe(rig)
    in_use = f"in use by the site's running engine (process {holder}); ask it with `status`"
    return [Answer(driver.name, is_well=True, sentence=in_use) for driver in rig.all()]


def switch_off(site_file: Path, site: Site) -> list[SafeReport]:
    """Make every instrument of a site safe, without an engine."""
    rig = rig_at_hand(site_file, site)
    reports = make_all_safe(rig.all(), SWITCH_OFF_LIMIT_S)
    rig.close()
    return reports


def patterns_of(amplifier: Amplifier) -> list[Pattern]:
    """Return the prepared patterns of an amplifier as its driver takes them."""
    return [_pattern(pattern) for pattern in amplifier.patterns]


def profiles_of(site: Site, provenance: Mapping[str, Provenance]) -> dict[str, ActuatorProfile]:
    """Return what the Gate must know of each instrument that could move something."""
    profiles: dict[str, ActuatorProfile] = {}
    for amplifier in site.amplifiers:
        # What cannot move anything has no profile: the Gate knows no such actuator.
        if not isinstance(amplifier, OpenEphysAmplifier):
            profiles[amplifier.name] = _stimulator_profile(amplifier, provenance[amplifier.name])
    for smu in site.smus:
        profiles[smu.name] = DeviceArrayProfile(
            name=smu.name,
            provenance=provenance[smu.name],
            devices={DeviceAddress(d.wordline, d.bitline): (d.name, d.limits) for d in smu.devices},
            read_voltage_v=smu.read_voltage_v,
            compliance_a=smu.compliance_a,
        )
    for chip in site.chips:
        profiles[chip.name] = ChipProfile(
            chip.name, provenance[chip.name], chip.neurons, chip.limits
        )
    return profiles


def provenance_of(site: Site, *, is_mock: bool) -> dict[str, Provenance]:
    """Return what stands behind each instrument's name: live, mock or playback."""
    real = Provenance.MOCK if is_mock else Provenance.LIVE
    known = {i.name: real for i in (*site.amplifiers, *site.smus, *site.chips)}
    for amplifier in site.amplifiers:
        if isinstance(amplifier, PlaybackAmplifier):
            known[amplifier.name] = Provenance.PLAYBACK
    return known


def limit_conflicts(site: Site) -> list[str]:
    """Return why the Gate could not take charge of this site, or an instrument cannot do it."""
    profiles = profiles_of(site, provenance_of(site, is_mock=False))
    sentences = [sentence for profile in profiles.values() for sentence in check_profile(profile)]
    for profile in profiles.values():
        if isinstance(profile, StimulatorProfile):
            sentences += [refusal.sentence for refusal in refused_patterns(profile)]
    for smu in site.smus:
        try:
            make_smu(smu)
        except SafetyLimitError as exc:
            sentences.append(str(exc))
    return sentences


def _stimulator_profile(
    amplifier: IntanRhxAmplifier | PlaybackAmplifier, provenance: Provenance
) -> ActuatorProfile:
    if isinstance(amplifier, PlaybackAmplifier):
        return PlaybackProfile(amplifier.name)
    return StimulatorProfile(
        name=amplifier.name,
        provenance=provenance,
        patterns={pattern.pattern_id: pattern for pattern in patterns_of(amplifier)},
        electrode_area_um2=amplifier.electrode_area_um2,
        limits=amplifier.limits,
        accepts_simulated=amplifier.accepts_simulated,
    )


def _amplifier(amplifier: Amplifier, folder: Path) -> MeaAmplifier:
    if isinstance(amplifier, PlaybackAmplifier):
        return Playback(
            amplifier.name,
            folder / amplifier.folder,
            is_looping=amplifier.is_looping,
            reader=amplifier.reader,
            stream=amplifier.stream,
            wav_microvolts_per_count=amplifier.wav_microvolts_per_count,
        )
    if isinstance(amplifier, OpenEphysAmplifier):
        return OpenEphysGui(amplifier.name, _open_ephys_settings(amplifier), clock_ns=monotonic_ns)
    used = {channel for pattern in amplifier.patterns for channel in pattern.channels}
    impedances, impedances_here = _impedance_folders(amplifier.impedance, folder)
    settings = IntanRhxSettings(
        host=amplifier.host,
        command_port=amplifier.command_port,
        waveform_port=amplifier.waveform_port,
        spike_port=amplifier.spike_port,
        channels=amplifier.channels,
        stim_channels=tuple(channel for channel in amplifier.channels if channel in used),
        impedance_folder=impedances,
        impedance_folder_here=impedances_here,
    )
    return IntanRhx(amplifier.name, settings, clock_ns=monotonic_ns)


def _impedance_folders(limits: ImpedanceLimits | None, folder: Path) -> tuple[str, str]:
    """Return where RHX writes impedances, by its own name and by ours."""
    if limits is None:
        return "", ""
    if limits.folder_here is not None:
        return limits.folder, str((folder / limits.folder_here).absolute())
    return str((folder / limits.folder).absolute()), ""


def _open_ephys_settings(amplifier: OpenEphysAmplifier) -> OpenEphysSettings:
    return OpenEphysSettings(
        host=amplifier.host,
        http_port=amplifier.http_port,
        falcon_port=amplifier.falcon_port,
        stream=amplifier.stream,
        channels=amplifier.channels,
        sample_rate_hz=amplifier.sample_rate_hz,
        microvolts_per_count=amplifier.microvolts_per_count,
    )


def _aer_udp(chip: AerUdpChip) -> AerUdp:
    settings = AerUdpSettings(
        listen_host=chip.listen_host,
        listen_port=chip.listen_port,
        chip_host=chip.chip_host,
        chip_port=chip.chip_port,
        neurons=chip.neurons,
    )
    return AerUdp(chip.name, settings, clock_ns=monotonic_ns)


def _pattern(pattern: StimPattern) -> Pattern:
    pulse = CurrentPulse(
        first_amplitude_a=pattern.first_amplitude_a,
        first_duration_s=pattern.first_duration_s,
        second_amplitude_a=pattern.second_amplitude_a,
        second_duration_s=pattern.second_duration_s,
        interphase_s=pattern.interphase_s,
        is_negative_first=pattern.is_negative_first,
        n_pulses=pattern.n_pulses,
        period_s=pattern.period_s,
    )
    return Pattern(pattern.pattern_id, pattern.channels, pulse)
