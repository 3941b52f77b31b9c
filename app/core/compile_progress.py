"""What a compilation lets others know, so that a slow machine is not taken for a hung engine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numba.core import event


class _Steps(event.Listener):
    def __init__(self, on_step: Callable[[], None]) -> None:
        self._on_step = on_step

    def on_start(self, _event: event.Event) -> None:
        """Take the beginning of one function's compilation."""
        self._on_step()

    def on_end(self, _event: event.Event) -> None:
        """Take its end."""
        self._on_step()


@contextmanager
def compilation_told(on_step: Callable[[], None]) -> Iterator[None]:
    """Call `on_step` whenever numba begins or ends a function, in the thread that compiles.

    What comes from the cache is not compiled, and nothing is called.
    """
    with event.install_listener("numba:compile", _Steps(on_step)):
        yield
