"""The hazard table names tests that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "hazards.md"
WAYS = ("Configuration", "Locale", "Unit", "Clock", "Stale", "Stranger", "Replayed", "Loop",
        "Crash", "Restart", "Two consoles", "Playback", "Mock into live")  # fmt: skip


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_hazard_has_a_test_that_exists() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith("| how it could")]
    assert len(rows) >= 40
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, f"no test shows: {row[:60]}"
        for path, name in named:
            assert name in names_in(ROOT / path), f"{path} has no {name}"


def test_every_way_of_the_order_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8").lower()
    for way in WAYS:
        assert f"**{way.lower()}**" in text, way
