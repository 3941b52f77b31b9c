"""The user guide's table of limits, and what `check` says of them, are what the code enforces."""

import shutil
from pathlib import Path

import pytest

from app.cli import main
from app.demo.files import CHAIN
from app.exit_codes import ExitCode
from app.safety.basis import KINDS, basis_of, said, to_confirm
from app.safety.limits_page import tables

PAGE = Path(__file__).parents[1] / "docs" / "limits.md"
NOT_LIMITS = {"reason", "confirmed_by", "is_positive_raising"}


def test_the_page_holds_the_tables_of_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8").endswith(tables()), (
        "run: python -m app.safety.limits_page, and put its tables at the end of docs/limits.md"
    )


@pytest.mark.parametrize("limits", [limits for _, limits in KINDS])
def test_every_limit_has_a_basis(limits) -> None:
    fields = {basis.field for basis in basis_of(limits)}
    assert fields == set(limits.__struct_fields__) - NOT_LIMITS
    assert all(basis.basis and basis.words for basis in basis_of(limits))


def test_check_repeats_in_words_what_an_owner_must_confirm(tmp_path: Path, capsys) -> None:
    chain = shutil.copytree(CHAIN, tmp_path / "chain")
    files = [str(chain / f"{name}.toml") for name in ("padova", "southampton")]
    assert main(["check", "--offline", *files]) == ExitCode.OK
    text = capsys.readouterr().out
    wanted = [
        "to confirm: padova, mea1: current through an electrode: at most 3 uA (default)",
        "at most 50 (set here, default 20)",
        "to confirm: southampton, arc1, w12b21 and 1 more alike: read voltage: at most 500 mV "
        "(set here, default 200 mV)",
        "signed: padova, mea1: max_duty 0.02 by the owner of the simulated culture until "
        "2099-12-31, for simulated instruments only: ",
    ]
    for sentence in wanted:
        assert sentence in text
    n_marked = sum(basis.must_confirm for basis in basis_of(KINDS[0][1]))
    assert text.count("to confirm: padova, mea1: ") == n_marked


def test_values_are_said_with_their_units() -> None:
    stimulation, device, _ = (limits for _, limits in KINDS)
    assert said(stimulation, "allows_positive_first") == "refused"
    assert said(stimulation, "max_triggers_per_day") == "1,000,000"
    assert said(device, "window_max_ohm") == "1 Mohm"
    assert any("200 mV (default)" in sentence for sentence in to_confirm("m1", device))


def test_check_names_patterns_and_pulses_that_would_be_refused_each_time(
    tmp_path: Path, capsys
) -> None:
    chain = shutil.copytree(CHAIN, tmp_path / "chain")
    padova, experiment = chain / "padova.toml", chain / "experiment.toml"
    padova.write_text(
        padova.read_text().replace("first_amplitude_a = 2e-6", "first_amplitude_a = 4e-6")
    )
    text = experiment.read_text().replace("ltp_amplitude_v = 1.5", "ltp_amplitude_v = 1.6")
    experiment.write_text(text.replace("ltd_width_s = 100e-6", "ltd_width_s = 0.1"))
    files = [str(padova), str(experiment), str(chain / "southampton.toml")]
    assert main(["check", "--offline", *files]) == ExitCode.FAILED
    said = capsys.readouterr().out
    assert (
        "conflict: mea1, pattern 1: a phase of 4 uA, allowed more than 0 and at most 3 uA" in said
    )
    assert "LTP pulse of 1.6 V, device w12b21 allows 1.5 V" in said
    assert "LTD pulse of 0.1 s, device w12b21 allows 1e-07 to 0.01 s" in said
