"""A page of sections that is written twice, as Markdown and as one self-contained HTML file, from one description."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from spooflab.experiments.data_sets.markdown import cell, paragraph, table

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Text:
    """A paragraph; plain text."""

    text: str


@dataclass(frozen=True)
class Points:
    """A list; plain text."""

    points: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """A table; numbers are set to the right. `folded` hides it in HTML until it is asked for."""

    head: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]
    folded: str = ""


@dataclass(frozen=True)
class Code:
    """A command or file, as it is typed."""

    text: str


@dataclass(frozen=True)
class Picture:
    """A JPEG: linked from Markdown, embedded in HTML."""

    path: str
    caption: str
    data: bytes


Block = Text | Points | Rows | Code | Picture


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it."""

    title: str
    blocks: tuple[Block, ...]


def markdown(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Return the page as Markdown."""
    lines = [f"# {cell(title)}", "", paragraph(lead)]
    for section in sections:
        lines += ["", f"## {cell(section.title)}"]
        for block in section.blocks:
            lines += ["", *_lines(block)]
    return "\n".join(lines) + "\n"


def html(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Return the page as HTML without scripts, links to other files or fonts from elsewhere."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"base64": lambda data: base64.b64encode(data).decode(), "shown": _shown}
    environment.tests |= {"number": lambda value: isinstance(value, (int, float))}
    return environment.get_template("page.html.j2").render(
        title=title,
        lead=lead,
        css=(_HERE / "page.css").read_text(encoding="utf-8"),
        sections=[
            {"title": s.title, "blocks": [(type(block).__name__, block) for block in s.blocks]} for s in sections
        ],
    )


def _lines(block: Block) -> list[str]:
    if isinstance(block, Text):
        return [paragraph(block.text)]
    if isinstance(block, Points):
        return [f"- {paragraph(point)}" for point in block.points]
    if isinstance(block, Rows):
        return ([f"{cell(block.folded)}:", ""] if block.folded else []) + table(block.head, block.rows)
    if isinstance(block, Picture):
        return [f"![{cell(block.caption)}]({block.path})"]
    fence = "````" if "```" in block.text else "```"
    return [fence, *block.text.splitlines(), fence]


def _shown(value: str | int | float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
