"""Markdown of text that is not ours: names of files, devices and licences cannot break a table or become markup."""

from collections.abc import Iterable, Sequence

_LONGEST_IN_TABLE = 1000


def cell(text: str, *, most: int = 160) -> str:
    """Return text that cannot break a table or become markup, cut at `most` characters."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    safe = plain.replace("\\", "\\\\").replace("|", "\\|").replace("[", "\\[")
    return safe.replace("<", "&lt;").replace("`", "'")[:most]


def paragraph(text: str) -> str:
    """Return a paragraph or point that cannot become markup, a heading or a list."""
    safe = cell(text, most=len(text) * 4)
    return f"\\{safe}" if safe.startswith(("#", "-", "+", "*", ">")) else safe


def table(head: Sequence[str], rows: Iterable[Sequence[str | int | float]]) -> list[str]:
    """Return the lines of a table: numbers are set to the right, by the first row; text is made safe."""
    held = [tuple(row) for row in rows]
    first = held[0] if held else ("",) * len(head)
    rule = "|".join("---:" if isinstance(value, (int, float)) else "---" for value in first)
    lines = ["| " + " | ".join(map(cell, head)) + " |", f"|{rule}|"]
    return lines + ["| " + " | ".join(_text(value) for value in row) + " |" for row in held]


def _text(value: str | int | float) -> str:
    return (
        cell(value, most=_LONGEST_IN_TABLE)
        if isinstance(value, str)
        else f"{value:.4g}"
        if isinstance(value, float)
        else str(value)
    )
