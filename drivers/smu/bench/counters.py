"""What the driver of a bench unit counts, so that nothing goes wrong in silence."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BenchCounters:
    """Counts since the driver was made."""

    n_readings: int = 0
    """Resistances that were believed."""
    n_pulses: int = 0
    """Pulses whose message left, all or in part; each was permitted, none was sent twice."""
    n_unconfirmed: int = 0
    """Of these, pulses without a believable answer."""
    n_limited: int = 0
    """Readings and pulses at the compliance."""
    n_timeouts: int = 0
    n_unbelievable: int = 0
    """Answers of another question, or with values that are none."""
    n_refused: int = 0
    """Messages that the instrument answered with errors."""
    n_disagreed: int = 0
    n_lines_discarded: int = 0
    """Lines that belong to no believed answer, up to the last time the port was closed."""
    n_switched: int = 0
    """Times that a switch connected a device."""
    n_resyncs: int = 0
    n_failed_resyncs: int = 0
