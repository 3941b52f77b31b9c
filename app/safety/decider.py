"""All decisions of the Gate, as a pure function of the numbered inputs: no clock, no lock, no I/O.

The same inputs at the same times give the same verdicts and the same audit chain, which is what
makes a recorded session replayable.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

from app.core.spikes import Provenance
from app.safety.audit import AuditChain, AuditRow, request_row
from app.safety.causes import refuse_age, refuse_link, refuse_provenance
from app.safety.chip_limits import ChipJudge
from app.safety.decision import ActuatorJudge, Decision, Permitted
from app.safety.deliveries import Deliveries, delivery_row
from app.safety.device_limits import DeviceArrayJudge
from app.safety.forming import judge_forming_arm
from app.safety.inputs import (
    ArmForming,
    DeliveryReported,
    DeviceInput,
    Freeze,
    GateInput,
    PastDose,
    ReadingNoted,
    RequestMade,
    StateInput,
    Unfreeze,
    UpkeepAsked,
    read_request,
)
from app.safety.leases import Lease
from app.safety.profiles import (
    ActuatorProfile,
    ChipProfile,
    DeviceArrayProfile,
    StimulatorProfile,
    check_profile,
    limits_in_force,
)
from app.safety.requests import (
    Refusal,
    RefusalReason,
    Request,
    is_spike_caused,
)
from app.safety.state import Arming, GateState
from app.safety.stimulator_judge import StimulatorJudge
from app.safety.upkeep import describe_upkeep, rule_upkeep
from drivers.mea.protocol import Pattern
from drivers.permit import PERMIT_LIFE_NS, UploadPattern
from drivers.smu.protocol import DeviceAddress


class Decider:
    """State of the Gate. One caller at a time; `now_ns` never decreases.

    Raises
    ------
    ValueError
        A profile's limits are beyond a ceiling, loosened without a signature, or senseless.
    """

    def __init__(
        self, site: str, actuators: Mapping[str, ActuatorProfile], leases: Iterable[Lease]
    ) -> None:
        sentences = [s for profile in actuators.values() for s in check_profile(profile)]
        sentences += [
            f"{name}: its profile is named {profile.name}; name both alike"
            for name, profile in actuators.items()
            if profile.name != name
        ]
        if sentences:
            raise ValueError("; ".join(sentences))
        self.site = site
        self.profiles = dict(actuators)
        provenances = {name: profile.provenance for name, profile in self.profiles.items()}
        self.arming = Arming(site, leases, provenances)
        self.limits_version = hashlib.sha256(limits_in_force(self.profiles)).hexdigest()
        self.chain = AuditChain()
        self.arrays: dict[str, DeviceArrayJudge] = {}
        self._stimulators: dict[str, StimulatorJudge] = {}
        self._judges: dict[str, ActuatorJudge] = {}
        for profile in self.profiles.values():
            self._add_judge(profile)
        self.n_requests = 0
        self.n_permits = 0
        self.n_refusals: Counter[RefusalReason] = Counter()
        self.last_refusal: str | None = None
        self.deliveries = Deliveries()

    def apply(self, event: GateInput, now_ns: int) -> Decision:
        """Decide upon one input."""
        match event:
            case RequestMade():
                return self._request(event, now_ns)
            case DeliveryReported():
                return self._delivery(event, now_ns)
            case UpkeepAsked():
                return self._upkeep(event, now_ns)
            case _:
                return Decision(refusal=self._change(event, now_ns))

    def _change(
        self, event: StateInput | DeviceInput | ArmForming | PastDose, now_ns: int
    ) -> Refusal | None:
        match event:
            case ReadingNoted() | Freeze() | Unfreeze():
                return self._device_input(event)
            case ArmForming():
                return self._arm_forming(event, now_ns)
            case PastDose():
                judge = self._judges[event.instrument]
                judge.count_past(event.target, event.time_ns, event.n_pulses, event.charge_fc)
                return None
        refusal = self.arming.apply(event, now_ns)
        if self.arming.state is not GateState.ARMED:
            for array in self.arrays.values():
                array.forming = None
        return refusal

    def _device_input(self, event: DeviceInput) -> Refusal | None:
        if isinstance(event, Unfreeze):
            return self._unfreeze(event)
        array, address = self._array(event)
        if isinstance(event, ReadingNoted):
            array.note_reading(address, event.resistance_ohm)
        else:
            array.freeze(address, event.direction, event.reason)
        return None

    def knows_instrument(self, instrument: str) -> bool:
        """Say whether an instrument can be asked to move something."""
        return instrument in self._judges

    def knows_device(self, instrument: str, address: DeviceAddress) -> bool:
        """Say whether an instrument has a device at an address."""
        return instrument in self.arrays and self.arrays[instrument].knows(address)

    def _add_judge(self, profile: ActuatorProfile) -> None:
        # A playback has none: what is asked of it is refused before anybody judges it.
        if isinstance(profile, StimulatorProfile):
            self._stimulators[profile.name] = StimulatorJudge(profile)
            self._judges[profile.name] = self._stimulators[profile.name]
        elif isinstance(profile, DeviceArrayProfile):
            self.arrays[profile.name] = DeviceArrayJudge(profile)
            self._judges[profile.name] = self.arrays[profile.name]
        elif isinstance(profile, ChipProfile):
            self._judges[profile.name] = ChipJudge(profile)

    def _array(self, event: ReadingNoted | Freeze) -> tuple[DeviceArrayJudge, DeviceAddress]:
        return self.arrays[event.instrument], DeviceAddress(event.wordline, event.bitline)

    def _unfreeze(self, event: Unfreeze) -> Refusal | None:
        address = DeviceAddress(event.wordline, event.bitline)
        who = f"{event.instrument}, device at {event.wordline}, {event.bitline}"
        if not event.who.strip():
            return Refusal(
                RefusalReason.NO_NAME,
                f"{who}: nobody unfreezes it, allowed is a named person; say who",
            )
        if self.knows_device(event.instrument, address):
            if self.arrays[event.instrument].unfreeze(address, event.direction):
                return None
            why = f"direction {event.direction} is not frozen"
        else:
            why = "no such device"
        return Refusal(RefusalReason.UNKNOWN_TARGET, f"{who}: {why}; look at the frozen list")

    def _arm_forming(self, event: ArmForming, now_ns: int) -> Refusal | None:
        devices = {name: frozenset(array.profile.devices) for name, array in self.arrays.items()}
        self.arming.expire(now_ns)
        ruling = judge_forming_arm(event, self.arming, devices, now_ns)
        if isinstance(ruling, Refusal):
            return ruling
        for name, array in self.arrays.items():
            array.forming = ruling if name == ruling.instrument else None
        return None

    def _request(self, made: RequestMade, now_ns: int) -> Decision:
        self.n_requests += 1
        number = self.n_requests
        read = read_request(made)
        ruling = self._rule(made.instrument, read, now_ns)
        row = self.chain.link(self._request_row(made, read, number, ruling, now_ns))
        if isinstance(ruling, Refusal):
            return self._refused(ruling, row)
        doses = self._judges[ruling.instrument].count(
            ruling.action,
            is_spike_caused=is_spike_caused(ruling.cause, self.site),
            now_ns=now_ns,
        )
        self.n_permits += 1
        self.deliveries.expect(row)
        # Without an arming's end (impossible here) the permit would be stillborn, not eternal.
        until_ns = self.arming.expires_ns or now_ns
        permitted = Permitted(number, ruling.instrument, ruling.action, until_ns)
        return Decision(permitted=permitted, row=row, doses=doses)

    def _rule(
        self, instrument: str, read: tuple[Request, int] | Refusal, now_ns: int
    ) -> Request | Refusal:
        refusal = (
            self._refuse_playback(instrument)
            or self.arming.refuse_request(now_ns)
            or self._refuse_instrument(instrument)
        )
        if refusal is not None:
            return refusal
        if isinstance(read, Refusal):
            return read
        request, queue_length = read
        judge = self._judges[instrument]
        return (
            judge.refuse_target(request.action)
            or refuse_provenance(request, refuses_simulated=judge.refuses_simulated)
            or refuse_link(request, self.arming)
            or refuse_age(request, now_ns)
            or judge.refuse(
                request.action,
                is_spike_caused=is_spike_caused(request.cause, self.site),
                queue_length=queue_length,
                now_ns=now_ns,
            )
            or request
        )

    def _refuse_playback(self, instrument: str) -> Refusal | None:
        profile = self.profiles.get(instrument)
        if profile is None or profile.provenance is not Provenance.PLAYBACK:
            return None
        return Refusal(
            RefusalReason.PLAYBACK,
            f"{instrument}: playback cannot stimulate, allowed are reads only; "
            "use a live or a mock instrument",
        )

    def _refuse_instrument(self, instrument: str) -> Refusal | None:
        if instrument in self._judges:
            return None
        return Refusal(
            RefusalReason.UNKNOWN_INSTRUMENT,
            f"{instrument}: no such instrument, allowed are {sorted(self._judges)}; "
            "correct the name",
        )

    def _upkeep(self, asked: UpkeepAsked, now_ns: int) -> Decision:
        self.n_requests += 1
        number = self.n_requests
        profile = self.profiles.get(asked.instrument)
        ruling = rule_upkeep(asked, profile, self.arming)
        refusal = ruling if isinstance(ruling, Refusal) else None
        row = self.chain.link(
            request_row(
                number=number,
                time_ns=now_ns,
                instrument=asked.instrument,
                action=describe_upkeep(asked, profile),
                cause=f"operator from {self.site}: {asked.who}: {asked.reason}",
                refusal=refusal,
                limits_version=self.limits_version,
            )
        )
        if isinstance(ruling, Refusal):
            return self._refused(ruling, row)
        self.n_permits += 1
        upload = ruling.pattern if isinstance(ruling, UploadPattern) else None
        self.deliveries.expect(row, upload)
        until_ns = now_ns + PERMIT_LIFE_NS
        return Decision(permitted=Permitted(number, asked.instrument, ruling, until_ns), row=row)

    def _refused(self, refusal: Refusal, row: AuditRow) -> Decision:
        self.n_refusals[refusal.reason] += 1
        self.last_refusal = refusal.sentence
        return Decision(refusal=refusal, row=row)

    def _request_row(
        self,
        made: RequestMade,
        read: tuple[Request, int] | Refusal,
        number: int,
        ruling: Request | Refusal,
        now_ns: int,
    ) -> AuditRow:
        judge = self._judges.get(made.instrument)
        refusal = ruling if isinstance(ruling, Refusal) else None
        if isinstance(read, Refusal):
            action = repr(made.action)
        else:
            action = judge.describe(read[0].action) if judge else repr(read[0].action)
        return request_row(
            number=number,
            time_ns=now_ns,
            instrument=made.instrument,
            action=action,
            cause=_describe_cause(made),
            synapse=made.synapse if isinstance(made.synapse, int) else None,
            refusal=refusal,
            limits_version=self.limits_version,
        )

    def _delivery(self, event: DeliveryReported, now_ns: int) -> Decision:
        request, pattern = self.deliveries.reported(event)
        if request is not None and pattern is not None:
            self._take_pattern(request.instrument, pattern)
        row = delivery_row(event, request, now_ns, self.limits_version)
        return Decision(row=self.chain.link(row))

    def _take_pattern(self, instrument: str, pattern: Pattern) -> None:
        """Judge by a waveform that has been uploaded; the site's limits are what they were."""
        judge = self._stimulators[instrument]
        judge.take_pattern(pattern)
        self.profiles[instrument] = judge.profile
        self.limits_version = hashlib.sha256(limits_in_force(self.profiles)).hexdigest()


def _describe_cause(made: RequestMade) -> str:
    return f"{made.cause_kind} from {made.cause_site} ({made.provenance}): {made.detail}"
