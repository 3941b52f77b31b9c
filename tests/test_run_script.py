"""`./run`, in a tree whose environment is made already: what it starts, and where."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the script with an environment whose application says where it is and what for."""
    tree = tmp_path / "spikebridge"
    (tree / ".venv" / "bin").mkdir(parents=True)
    (tree / "benchmarks").mkdir()
    shutil.copy(ROOT / "run", tree)
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        (tree / name).write_text(name)
    stamp = hashlib.sha256(b"requirements-dev.lock" + b"pyproject.toml").hexdigest()
    (tree / ".venv" / ".stamp").write_text(stamp + "\n")
    for name in ("spikebridge", "python"):
        program = tree / ".venv" / "bin" / name
        program.write_text('#!/bin/sh\nprintf "%s\\n" "$PWD" "$@"\n')
        program.chmod(0o755)
    (tree / "benchmarks" / "stop.py").write_text("sys.exit(main())\n")
    (tree / "benchmarks" / "report.py").write_text("def publish() -> int:\n")
    return tree


def run(tree: Path, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(tree / "run"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_files_that_a_user_names_are_looked_for_where_the_user_is(
    tree: Path, tmp_path: Path
) -> None:
    done = run(tree, tmp_path, "spikebridge", "keygen", "a site.toml")
    assert done.stdout.splitlines() == [str(tmp_path), "keygen", "a site.toml"]
    done = run(tree, tmp_path, "demo", "--out", "here")
    assert done.stdout.splitlines() == [str(tmp_path), "demo", "--out", "here"]


def test_a_benchmark_runs_in_the_tree(tree: Path, tmp_path: Path) -> None:
    done = run(tree, tmp_path, "bench", "stop", "--quick")
    assert done.stdout.splitlines() == [str(tree), "-m", "benchmarks.stop", "--quick"]


@pytest.mark.parametrize("name", [[], ["nothing"]])
def test_what_benchmarks_there_are(tree: Path, name: list[str]) -> None:
    done = run(tree, tree, "bench", *name)
    assert done.returncode == 2
    assert done.stderr == "run: ./run bench NAME, one of stop\n"


def test_an_unknown_command_is_answered_with_those_that_are(tree: Path) -> None:
    assert run(tree, tree, "help").returncode == 0
    done = run(tree, tree, "fly")
    assert done.returncode == 2
    for command in ("demo", "tests", "bench", "spikebridge"):
        assert f"./run {command}" in done.stdout
