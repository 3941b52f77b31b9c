"""What this site's electrodes and devices received before this session, told to its Gate."""

from collections import Counter
from collections.abc import Iterable, Mapping

from app.core.spikes import Provenance
from app.recording.history import PastDose
from app.safety.gate import Gate
from app.safety.rates import DAY_NS


def tell_past(
    gate: Gate,
    doses: Iterable[PastDose],
    provenance: Mapping[str, Provenance],
    *,
    now_ns: int,
    utc_ns: int,
) -> None:
    """Tell the last day slot by slot, all that is older in one sum; before boot is done.

    What a simulated instrument received does not count for the real one, and the other way round.
    A slot that seems to lie in the future, after UTC was set back, counts as now.
    """
    older: Counter[tuple[str, str]] = Counter()
    recent = []
    for dose in doses:
        known = provenance.get(dose.instrument)
        if known is None or known.value != dose.provenance or known is Provenance.PLAYBACK:
            continue
        age_ns = max(0, utc_ns - dose.utc_ns)
        if age_ns >= DAY_NS:
            older[dose.instrument, dose.target] += dose.n_pulses
        else:
            recent.append((now_ns - age_ns, dose))
    for (instrument, target), n_pulses in older.items():
        # Clear of the last day by more than any window's bucket.
        gate.note_past(instrument, target, now_ns - 2 * DAY_NS, n_pulses, 0.0)
    for time_ns, dose in sorted(recent, key=lambda item: item[0]):
        gate.note_past(dose.instrument, dose.target, time_ns, dose.n_pulses, dose.charge_c)
