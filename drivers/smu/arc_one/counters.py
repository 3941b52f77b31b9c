"""What an ArC ONE's driver counts, so that nothing goes wrong in silence."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ArcOneCounters:
    """Counts since the driver was made."""

    n_readings: int = 0
    """Resistances that were believed."""
    n_pulses: int = 0
    """Pulses whose bytes left, all or in part; each was permitted, none was sent twice."""
    n_unconfirmed: int = 0
    """Of these, pulses without a believable answer."""
    n_timeouts: int = 0
    n_unbelievable: int = 0
    """Replies with too many bytes, too early, or with a value that is no resistance."""
    n_disagreed: int = 0
    """Times that a device did not give two agreeing readings in a row."""
    n_resyncs: int = 0
    n_failed_resyncs: int = 0
    n_bytes_discarded: int = 0
    """Bytes received that belong to no believed reply."""
