"""The receiving site dies with kill -9 and comes back: its recordings together hold it all."""

from pathlib import Path

import pytest

from benchmarks.loss import Course, run

SHORT = Course(n_spikes=1200, from_s=0.4, to_s=0.7)


@pytest.mark.parametrize("case", ["consumer killed", "line reset"])
def test_nothing_is_lost_doubled_or_disordered_in_the_recordings(tmp_path: Path, case: str) -> None:
    row = run("our link", case, SHORT, tmp_path / "run")
    assert (row["sent"], row["lost"], row["doubled"], row["disordered"]) == (1200, 0, 0, 0)
