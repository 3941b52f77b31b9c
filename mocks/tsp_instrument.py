"""A simulated instrument that speaks TSP: lines, printing and the error queue, as all have them."""

from collections.abc import Callable
from typing import Any

from mocks.smu_instrument import Clock, CommandError, ErrorQueue
from mocks.tsp import World, compile_line


class TspInstrument(World):
    """An instrument that was just switched on. A subclass adds to `calls`, `get` and `set`."""

    identity = ""

    def __init__(self, outside_s: Callable[[], float]) -> None:
        self.clock = Clock(outside_s)
        self.errors = ErrorQueue()
        self.lines: list[str] = []
        """What the present line has printed."""
        self._globals: dict[str, Any] = {}
        self.calls: dict[str, Callable[..., Any]] = {
            "print": self._print,
            "delay": self.clock.spend,
            "waitcomplete": lambda: None,
            "errorqueue.clear": self.errors.clear,
            "errorqueue.next": lambda: (*self._next_error(), 20.0, 1.0),
        }

    def handle(self, line: str) -> tuple[str | None, float]:
        """Run a line; what it prints is the answer."""
        self.lines.clear()
        with self.clock.line():
            try:
                self._run(line.strip())
            except CommandError as error:
                self.errors.add(error.code, error.text)
        answer = "\n".join(self.lines) if self.lines else None
        return answer, self.clock.spent_s

    def get(self, name: str) -> Any:
        """Return a global; nil for one that nobody set, -286 for what belongs to nobody."""
        if name == "errorqueue.count":
            return float(len(self.errors))
        if "." in name:
            owner = name.split(".", maxsplit=1)[0]
            raise CommandError(-286, f"TSP Runtime error: attempt to index '{owner}' (a nil value)")
        return self._globals.get(name)

    def set(self, name: str, new: Any) -> None:
        """Set a global."""
        if "." in name:
            raise CommandError(-286, f"TSP Runtime error: cannot assign '{name}'")
        self._globals[name] = new

    def call(self, name: str, arguments: list[Any]) -> tuple[Any, ...]:
        """Call a function; one that does not exist is -286."""
        function = self.calls.get(name)
        if function is None:
            raise CommandError(-286, f"TSP Runtime error: attempt to call '{name}' (a nil value)")
        try:
            result = function(*arguments)
        except TypeError as exc:
            raise CommandError(-286, "TSP Runtime error: bad argument") from exc
        return result if isinstance(result, tuple) else (result,)

    def _run(self, line: str) -> None:
        if line == "*IDN?":
            self.lines.append(self.identity)
        elif line != "*CLS":
            for statement in compile_line(line):
                statement(self)

    def _next_error(self) -> tuple[float, str]:
        code, text = self.errors.take()
        return float(code), text if code else "Queue Is Empty"

    def _print(self, *arguments: Any) -> None:
        self.lines.append("\t".join(map(shown, arguments)))


def shown(item: Any) -> str:
    """Return a value as it is printed: six digits."""
    if item is None:
        return "nil"
    if isinstance(item, bool):
        return "true" if item else "false"
    return f"{item:.5e}" if isinstance(item, float) else str(item)
