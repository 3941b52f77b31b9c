"""Read the two configuration files: a frozen struct, or one sentence that names file and place."""

import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from app.config.experiment import Experiment
from app.config.site import Site

MAX_FILE_BYTES = 1_000_000
"""No sane configuration is larger; a wrong file given by mistake may be."""

T = TypeVar("T", bound=msgspec.Struct)


class ConfigError(Exception):
    """A configuration that cannot be used; the message names file, place and remedy."""


def load_site(path: Path) -> Site:
    """Read and validate a `site.toml`. Raises `ConfigError`."""
    return parse(read_bounded(path), Site, str(path))


def load_experiment(path: Path) -> Experiment:
    """Read and validate an `experiment.toml`. Raises `ConfigError`."""
    return parse(read_bounded(path), Experiment, str(path))


def as_toml(content: msgspec.Struct) -> bytes:
    """Return a configuration as a file's bytes, defaults filled in."""
    return msgspec.toml.encode(_without_none(msgspec.to_builtins(content)))


def _without_none(node: Any) -> Any:
    """TOML has no null: what is not set is left out."""
    if isinstance(node, dict):
        return {key: _without_none(value) for key, value in node.items() if value is not None}
    if isinstance(node, list | tuple):
        return [_without_none(value) for value in node]
    return node


def is_site_file(path: Path) -> bool:
    """Say whether a file is a site's rather than an experiment's: only a site has a `site`."""
    return "site" in _parse_toml(read_bounded(path), str(path))


def read_bounded(path: Path) -> bytes:
    """Return the file's bytes. Raises `ConfigError` if it is missing, not a file or too large."""
    try:
        if not path.is_file():
            raise ConfigError(f"{path}: no such file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes, not a configuration")
        return path.read_bytes()
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path}: cannot be read: {exc}") from exc


def parse(data: bytes, kind: type[T], source: str) -> T:
    """Turn TOML bytes into a struct. Raises `ConfigError` naming `source` and the place."""
    tree = _parse_toml(data, source)
    for place, value in _numbers(tree, "$"):
        if not math.isfinite(value):
            raise ConfigError(f"{source}: {place} is {value}; every number must be finite")
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as exc:
        raise ConfigError(f"{source}: {exc}") from exc


def _parse_toml(data: bytes, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{source}: not UTF-8 text (byte {exc.start})") from exc
    except RecursionError as exc:
        raise ConfigError(f"{source}: nested too deeply") from exc
    except ValueError as exc:  # TOMLDecodeError, and integers of thousands of digits
        raise ConfigError(f"{source}: not valid TOML: {exc}") from exc


def _numbers(node: object, place: str) -> Iterator[tuple[str, float]]:
    if isinstance(node, float):
        yield place, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _numbers(value, f"{place}.{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _numbers(value, f"{place}[{index}]")
