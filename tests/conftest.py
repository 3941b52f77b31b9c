"""Rules for every test: it leaves no thread behind."""

import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_stray_threads() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    strays = [t for t in threading.enumerate() if t not in before and t.is_alive()]
    for thread in strays:
        thread.join(1.0)
    names = [t.name for t in strays if t.is_alive()]
    assert not names, f"threads left behind: {names}"
