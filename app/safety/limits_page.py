"""The tables of `docs/limits.md`: `python -m app.safety.limits_page` prints them."""

from app.safety.basis import KINDS, limits_table


def tables() -> str:
    """Return the tables as Markdown."""
    parts = []
    for title, limits in KINDS:
        parts += [f"## {title}", "", *limits_table(limits), ""]
    return "\n".join(parts)


if __name__ == "__main__":
    print(tables(), end="")  # noqa: T201 - it is a command
