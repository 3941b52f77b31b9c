"""As much of Lua as a bench unit's host sends in one line: assignments, calls, `print`, `if not`.

A line is compiled before any of it runs: one that is not complete does nothing (-285). A name that
does not exist ends the program where it stands (-286).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mocks.smu_instrument import CommandError

_TOKEN = re.compile(
    r'\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<string>"[^"]*"|\'[^\']*\')'
    r"|(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)|(?P<sign>[(),=\[\]-]))"
)
_WORDS = {"true": True, "false": False, "nil": None}


@dataclass(frozen=True, slots=True)
class Path:
    """A dotted name, where the name itself is meant: a buffer that is handed over."""

    name: str


class World:
    """What names mean; an instrument is one."""

    def get(self, name: str) -> Any:
        """Return an attribute's value; raises `CommandError` -286 for an unknown name."""
        raise NotImplementedError

    def set(self, name: str, new: Any) -> None:
        """Set an attribute."""
        raise NotImplementedError

    def call(self, name: str, arguments: list[Any]) -> tuple[Any, ...]:
        """Call a function; returns its values."""
        raise NotImplementedError


Expression = Callable[[World], tuple[Any, ...]]
Statement = Callable[[World], None]


def compile_line(line: str) -> list[Statement]:
    """Return the statements of a line; raises `CommandError` -285."""
    reader = _Reader(line)
    statements = []
    while not reader.is_at_end:
        statements.append(reader.statement())
    return statements


class _Reader:
    def __init__(self, line: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while line[position:].strip():
            match = _TOKEN.match(line, position)
            if match is None or match.lastgroup is None:
                raise _syntax_error(line[position:])
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()
        self._next = 0

    @property
    def is_at_end(self) -> bool:
        return self._next >= len(self._tokens)

    def statement(self) -> Statement:
        names = [self._take("name")]
        if names == ["if"]:
            return self._branch()
        if self._is_sign("("):
            arguments = self._arguments()
            return lambda world: _ignore(_call(world, names[0], arguments))
        while self._skip(","):
            names.append(self._take("name"))
        self._expect("=")
        expressions = self._list()
        return lambda world: _assign(world, names, _all(world, expressions))

    def _branch(self) -> Statement:
        if self._take("name") != "not":
            raise _syntax_error("if")
        condition = self._expression()
        if self._take("name") != "then":
            raise _syntax_error("then")
        inner = []
        while self._peek() != ("name", "end"):
            inner.append(self.statement())
        self._take("name")

        def run(world: World) -> None:
            if condition(world)[0] in (None, False):
                for statement in inner:
                    statement(world)

        return run

    def _peek(self) -> tuple[str, str]:
        if self.is_at_end:
            raise _syntax_error("<eof>")
        return self._tokens[self._next]

    def _expression(self) -> Expression:
        if self._skip("-"):
            inner = self._expression()
            return lambda world: (-inner(world)[0],)
        kind, text = self._token()
        if kind == "sign":
            raise _syntax_error(text)
        if kind != "name" or text in _WORDS:
            constant = _constant(kind, text)
            return lambda _: (constant,)
        return self._named(text)

    def _named(self, text: str) -> Expression:
        if self._is_sign("("):
            arguments = self._arguments()
            return lambda world: _call(world, text, arguments)
        if self._skip("["):
            index = self._expression()
            self._expect("]")
            return lambda world: (_item(world, text, index(world)[0]),)
        return lambda world: (world.get(text),)

    def _arguments(self) -> list[Expression]:
        self._expect("(")
        if self._skip(")"):
            return []
        expressions = self._list()
        self._expect(")")
        return expressions

    def _list(self) -> list[Expression]:
        expressions = [self._expression()]
        while self._skip(","):
            expressions.append(self._expression())
        return expressions

    def _token(self) -> tuple[str, str]:
        if self.is_at_end:
            raise _syntax_error("<eof>")
        self._next += 1
        return self._tokens[self._next - 1]

    def _take(self, kind: str) -> str:
        found, text = self._token()
        if found != kind:
            raise _syntax_error(text)
        return text

    def _is_sign(self, sign: str) -> bool:
        return not self.is_at_end and self._tokens[self._next] == ("sign", sign)

    def _skip(self, sign: str) -> bool:
        is_there = self._is_sign(sign)
        self._next += is_there
        return is_there

    def _expect(self, sign: str) -> None:
        if not self._skip(sign):
            raise _syntax_error(sign)


def _constant(kind: str, text: str) -> Any:
    if kind == "name":
        return _WORDS[text]
    return float(text) if kind == "number" else text[1:-1]


def _ignore(_: Any) -> None:
    return


def _all(world: World, expressions: list[Expression]) -> list[Any]:
    """Return all values: every expression gives its first, the last gives all it has."""
    *before, last = expressions
    return [*(expression(world)[0] for expression in before), *last(world)]


def _call(world: World, name: str, arguments: list[Expression]) -> tuple[Any, ...]:
    return world.call(name, _all(world, arguments) if arguments else [])


def _item(world: World, name: str, index: Any) -> Any:
    items = world.get(name)
    if not isinstance(items, list):
        raise CommandError(-286, f"TSP Runtime error: attempt to index '{name}'")
    place = int(index)
    return items[place - 1] if 1 <= place <= len(items) else None


def _assign(world: World, names: list[str], new: list[Any]) -> None:
    for i, name in enumerate(names):
        world.set(name, new[i] if i < len(new) else None)


def _syntax_error(near: str) -> CommandError:
    return CommandError(-285, f"TSP Syntax error at line 1: unexpected symbol near '{near[:20]}'")
