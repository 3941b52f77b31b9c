"""What really happened in the simulated culture, as JSON: for tests, never for the engine.

Sample indices are those of the stream's timestamps in the run that the entry names.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import groupby, islice
from typing import Any

from mocks.culture_tissue import StimPulse
from mocks.rhx_board import RhxBoard


class Truth:
    """Answers questions about a board's culture. Each answer is a JSON-able dict."""

    def __init__(self, board: RhxBoard) -> None:
        self._board = board

    def answer(self, ask: str, skip: int = 0) -> dict[str, Any]:
        """Return an answer; `skip` leaves out that many of the oldest entries of a list.

        Questions: status, layout, spikes, stimuli, membrane.
        """
        match ask:
            case "status":
                return self._status()
            case "layout":
                return self._layout()
            case "spikes":
                return {"spikes": list(islice(self._spikes(), skip, None))}
            case "stimuli":
                return {"stimuli": list(islice(self._stimuli(), skip, None))}
            case "membrane":
                return {"membrane": list(islice(self._membrane(), skip, None))}
        return {"error": f"unknown question {ask!r}: status, layout, spikes, stimuli, membrane"}

    def _status(self) -> dict[str, Any]:
        board, culture = self._board, self._board.culture
        return {
            "is_running": board.is_running,
            "run": len(board.runs),
            "began_at_culture_sample": board.runs[-1].first_sample if board.runs else 0,
            "n_samples": board.next_timestamp,
            "stopped_ns": board.stopped_ns,
            "damage": culture.damage,
            "potential_v": [culture.potential_v(t) for t in range(len(culture.settings.targets))],
            "n_spikes": len(culture.spikes),
            "n_pulses": len(culture.pulses),
        }

    def _layout(self) -> dict[str, Any]:
        layout = self._board.culture.settings.layout
        return {
            "channels": list(layout.names),
            "position_um": layout.position_um.tolist(),
            "targets": [
                {"recording": t.recording, "weak": t.weak, "medium": t.medium, "strong": t.strong}
                for t in self._board.culture.electrodes_of_targets
            ],
        }

    def _when(self, culture_sample: int) -> dict[str, int]:
        starts = [run.first_sample for run in self._board.runs]
        run = bisect_right(starts, culture_sample) - 1
        return {"run": run + 1, "sample_index": culture_sample - starts[run]}

    def _spikes(self) -> Iterator[dict[str, Any]]:
        for spike in self._board.culture.spikes:
            yield {**self._when(spike.sample_index), "target": spike.target}

    def _membrane(self) -> Iterator[dict[str, Any]]:
        for step in self._board.culture.membrane_steps:
            yield {
                **self._when(step.sample_index),
                "target": step.target,
                "potential_v": step.potential_v,
                "is_spike": step.is_spike,
            }

    def _stimuli(self) -> Iterator[dict[str, Any]]:
        """Yield stimuli: the pulses that began on one sample belong together."""
        names, rate_hz = self._board.names, self._board.sample_rate_hz

        def largest_a(pulse: StimPulse) -> float:
            return max(abs(current_a) for current_a, _ in pulse.phases)

        def largest_c(pulse: StimPulse) -> float:
            return max(abs(charge_c) for charge_c in pulse.phase_charges_c(rate_hz))

        for first_sample, group in groupby(
            self._board.culture.pulses, key=lambda pulse: pulse.first_sample
        ):
            pulses = list(group)
            yield {
                **self._when(first_sample),
                "channels": [names[p.electrode] for p in pulses],
                "amplitude_a": [largest_a(p) for p in pulses],
                "charge_per_phase_c": [largest_c(p) for p in pulses],
                "net_charge_c": [sum(p.phase_charges_c(rate_hz)) for p in pulses],
            }
