"""What the trace view says in words: where it stands in time, and what lies under the cursor."""

from app.gui.drawing.column_history import ColumnFlag, ColumnHistory
from app.gui.drawing.trace_data import TraceData

_MEANING = (
    (ColumnFlag.GAP, "declared missing"),
    (ColumnFlag.MISSED, "not sent to this window"),
    (ColumnFlag.STIMULUS, "stimulation"),
    (ColumnFlag.ARTEFACT, "blanked artefact"),
    (ColumnFlag.SPIKE, "spike"),
)


def state_text(is_live: bool, behind_s: float, silence: str) -> str:
    """Say where in time the right edge of the picture is.

    `silence` is what takes the place of "live" where the newest is not of now.
    """
    if is_live:
        return silence or "live"
    paused = f"PAUSED, {behind_s:.1f} s behind the newest sample"
    return f"{paused}; {silence}" if silence else paused


def pointed_text(
    data: TraceData, history: ColumnHistory, channel: int, span: tuple[int, int], right_edge: int
) -> str:
    """Say what columns `span` (first, stop) of a channel hold, in microvolts."""
    name, column_s = data.format.channel_names[channel], data.format.column_s
    time_s = (span[0] - right_edge) * column_s
    values = history.values(*span, channel)
    where = f"   {name} at {time_s:.3f} s: "
    if values is None:
        return where + "nothing received"
    parts = []
    if values.low <= values.high:
        scale_uv = data.format.microvolts_per_count
        parts.append(f"{values.low * scale_uv:.1f} to {values.high * scale_uv:.1f} µV")
    parts += [text for flag, text in _MEANING if values.flags & flag]
    return where + ", ".join(parts)
