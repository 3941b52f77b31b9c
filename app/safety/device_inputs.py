"""How what is told or asked of one memristor becomes an input of the Gate: in plain values."""

from app.safety.device_limits import LOWER, RAISE
from app.safety.inputs import ArmForming, Freeze, ReadingNoted, Unfreeze, real, text, whole
from drivers.smu.protocol import DeviceAddress


def record_reading(instrument: str, device: DeviceAddress, resistance_ohm: float) -> ReadingNoted:
    """Return a reading; one that is no positive number voids the last one."""
    value = real(resistance_ohm)
    return ReadingNoted(
        instrument=instrument,
        wordline=int(device.wordline),
        bitline=int(device.bitline),
        resistance_ohm=value if isinstance(value, float) and value > 0 else None,
    )


def record_freeze(instrument: str, device: DeviceAddress, direction: int, reason: str) -> Freeze:
    """Return the end of pulses in a direction. Raises ValueError if there is no such direction."""
    if direction not in (RAISE, LOWER):
        raise ValueError(f"{instrument}: direction {direction}, allowed +1 or -1")
    return Freeze(
        instrument=instrument,
        wordline=int(device.wordline),
        bitline=int(device.bitline),
        direction=int(direction),
        reason=text(reason),
    )


def record_unfreeze(instrument: str, device: DeviceAddress, direction: int, who: str) -> Unfreeze:
    """Return a person's word that a direction may be pulsed again."""
    return Unfreeze(
        instrument=text(instrument),
        wordline=int(device.wordline),
        bitline=int(device.bitline),
        direction=int(direction),
        who=text(who),
    )


def record_forming(
    who: str,
    reason: str,
    instrument: str,
    device: DeviceAddress,
    expires_ns: int,
    *,
    is_operator: bool,
) -> ArmForming:
    """Return a person's wish to form one device."""
    end = whole(expires_ns)
    return ArmForming(
        who=text(who),
        reason=text(reason),
        instrument=text(instrument),
        wordline=int(device.wordline),
        bitline=int(device.bitline),
        expires_ns=end if isinstance(end, int) else None,
        is_operator=is_operator,
    )
