"""What the pages name exists: files, commands and their options, switches of the tests."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli import build_parser

ROOT = Path(__file__).parents[1]
PAGES = sorted({ROOT / "README.md", *(ROOT / "docs").rglob("*.md")})
FOLDERS = "app|drivers|mocks|tests|benchmarks|docs"


def choices(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


COMMANDS = choices(build_parser())


def options(parser: argparse.ArgumentParser) -> set[str]:
    """The parser's own and those of its procedures."""
    own = {option for action in parser._actions for option in action.option_strings}
    return own.union(*(options(inner) for inner in choices(parser).values()))


def spans(text: str) -> Iterator[str]:
    """What stands as code: inline, and each line of a block."""
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    for block in blocks:
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for span in spans(text):
        for path in re.findall(rf"(?<![\w/.])((?:{FOLDERS})/[\w./@-]+)", span):
            if path == "tests/test_X.py":  # any of them
                continue
            assert (ROOT / path.rstrip(".")).exists(), f"{page.name} names {path}"
        for module in re.findall(r"-m (benchmarks\.\w+)", span):
            assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), module
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_that_a_page_names_exist(page: Path) -> None:
    for span in spans(page.read_text("utf-8")):
        if "-->" in span:  # a drawing
            continue
        for name, words in re.findall(r"(?:^|\s|\")spikebridge ([a-z][\w-]*)([^#;|&]*)", span):
            assert name in COMMANDS, f"{page.name}: spikebridge {name}"
            named = re.findall(r"(?<![\w-])--[a-z][\w-]*", words)
            assert set(named) <= options(COMMANDS[name]), f"{page.name}: {span}"


def test_switches_of_the_tests_that_a_page_names_exist() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "tests").glob("*.py"))
    for page in PAGES:
        for name in re.findall(r"\bSPIKEBRIDGE_[A-Z]+\b", page.read_text("utf-8")):
            assert f'"{name}"' in sources, f"{page.name}: {name}"
