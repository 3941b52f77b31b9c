"""Leave to form one device: an arm of its own beside the site's, as short as it is rare."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.safety.ceilings import MAX_FORMING_ARM_NS
from app.safety.inputs import ArmForming
from app.safety.quantity import amount
from app.safety.requests import Refusal, RefusalReason
from app.safety.state import Arming, GateState
from drivers.smu.protocol import DeviceAddress


@dataclass(frozen=True, slots=True)
class FormingArm:
    """One device that may be formed, by whom, until when."""

    instrument: str
    address: DeviceAddress
    who: str
    until_ns: int


def judge_forming_arm(
    event: ArmForming, arming: Arming, devices: Mapping[str, frozenset[DeviceAddress]], now_ns: int
) -> FormingArm | Refusal:
    """Return the arm, or why not. Only a person arms it, and only while the site is armed."""
    address = DeviceAddress(event.wordline, event.bitline)
    who = f"{event.instrument}, device at {event.wordline}, {event.bitline}"
    if arming.state is not GateState.ARMED or arming.is_by_program:
        return _refuse(
            RefusalReason.WRONG_STATE,
            who,
            f"its forming cannot be armed in state {arming.state}",
            "while an operator has armed the site; arm the site first",
        )
    if not (event.who.strip() and event.reason.strip()):
        return _refuse(RefusalReason.NO_NAME, who, "no name or no reason", "both; say who and why")
    if not event.is_operator:
        return _refuse(
            RefusalReason.NOT_ENTITLED,
            who,
            f"{event.who} is no operator of this site",
            "the operators in site.toml; ask one",
        )
    if address not in devices.get(event.instrument, frozenset()):
        return _refuse(
            RefusalReason.UNKNOWN_TARGET, who, "no such device", "those in the site file"
        )
    return _judge_end(event, arming, address, who, now_ns)


def _judge_end(
    event: ArmForming, arming: Arming, address: DeviceAddress, who: str, now_ns: int
) -> FormingArm | Refusal:
    until_ns, site_until_ns = event.expires_ns, arming.expires_ns
    if until_ns is not None and site_until_ns is not None:
        longest_ns = min(MAX_FORMING_ARM_NS, site_until_ns - now_ns)
        if 0 < until_ns - now_ns <= longest_ns:
            return FormingArm(event.instrument, address, event.who, until_ns)
        found = f"a forming arm for {amount((until_ns - now_ns) / 1e9, 's')}"
    else:
        found = "a forming arm without an end"
    return _refuse(
        RefusalReason.EXPIRY,
        who,
        found,
        f"up to {amount(MAX_FORMING_ARM_NS / 1e9, 's')} and within the site's arming; shorten it",
    )


def _refuse(reason: RefusalReason, who: str, found: str, allowed: str) -> Refusal:
    return Refusal(reason, f"{who}: {found}, allowed {allowed}")
