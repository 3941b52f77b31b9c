"""What a person sees while a recording is searched."""

import sys
import time
from pathlib import Path
from typing import Any

from drivers.mea.playback.recording import Recording

REPORT_INTERVAL_S = 0.2
N_NAMED = 8
ODD_CHANNELS = {
    "unsettled_channels": "noise never became known, so none of their spikes did: too short a "
    "recording, or pegged channels",
    "dead_channels": "noise below the floor: probably not connected",
    "suspended_channels": "suspended for a time: more events a second than a neuron has",
    "blanked_channels": "not searched for more than a twentieth of the time: saturated, or no "
    "numbers",
}
"""What a person should know of channels, by their key in the summary."""


class Progress:
    """Writes to standard error: a line that moves on a terminal, one line in ten per cent else."""

    def __init__(self, recording: Recording, *, is_shown: bool) -> None:
        self._recording = recording
        self._is_shown = is_shown
        self._is_terminal = sys.stderr.isatty()
        self._started_s = self._shown_s = time.monotonic()
        self._shown_tenth = 0
        self.elapsed_s = 0.0

    def begin(self) -> None:
        """Count time from here."""
        self._started_s = self._shown_s = time.monotonic()

    def say(self, text: str) -> None:
        """Write a line."""
        if self._is_shown:
            print(text, file=sys.stderr, flush=True)  # noqa: T201

    def show(self, n_rows: int) -> None:
        """Tell how far the detector is."""
        now_s = time.monotonic()
        self.elapsed_s = now_s - self._started_s
        done = n_rows / len(self._recording.samples)
        if not self._is_shown or not self._is_due(done, now_s):
            return
        at_s = n_rows / self._recording.stream_format.sample_rate_hz
        times = at_s / max(self.elapsed_s, 1e-9)
        text = f"{done:4.0%}  {at_s:8.1f} s of {self._recording.duration_s:.1f} s  {times:.0f} x"
        ending = "\r" if self._is_terminal and done < 1 else "\n"
        print(text, end=ending, file=sys.stderr, flush=True)  # noqa: T201

    def result(self, summary: dict[str, Any], out: Path) -> None:
        """Say what came out, always."""
        artefacts = f" ({summary['n_artefacts']} artefacts not counted)"
        print(  # noqa: T201
            f"{summary['n_spikes']} spikes on {summary['n_channels']} channels in "
            f"{summary['duration_s']:.1f} s{artefacts if summary['n_artefacts'] else ''}, "
            f"{summary['times_real_time']:.0f} times real time; see {out}",
            file=sys.stderr,
        )
        if summary["not_read"]:
            print(  # noqa: T201
                f"not read: {_shown(summary['not_read'])}; name its folder, or --stream",
                file=sys.stderr,
            )
        for key, meaning in ODD_CHANNELS.items():
            if names := summary[key]:
                print(f"{_shown(names)}: {meaning}", file=sys.stderr)  # noqa: T201

    def _is_due(self, done: float, now_s: float) -> bool:
        if self._is_terminal:
            is_due = now_s - self._shown_s >= REPORT_INTERVAL_S or done >= 1
            self._shown_s = now_s if is_due else self._shown_s
            return is_due
        tenth = int(10 * done)
        is_due, self._shown_tenth = tenth > self._shown_tenth, tenth
        return is_due


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
    return f"{', '.join(names[:N_NAMED])}{more}"
