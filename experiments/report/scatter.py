"""A map of points as inline SVG: colour and shape name a label, a filled mark is a test row, a hollow one training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from spooflab.experiments.report.palette import ATTACK, BONAFIDE, OKABE_ITO

_SIDE, _MARGIN = 300, 8
_SPAN = 1000
_QUIET = "#8a8d94"


def _circle(x: float, y: float, r: float) -> str:
    return f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0"


def _square(x: float, y: float, r: float) -> str:
    return f"M{x - r:.1f} {y - r:.1f}h{2 * r}v{2 * r}h{-2 * r}z"


def _diamond(x: float, y: float, r: float) -> str:
    r = round(1.3 * r, 2)
    return f"M{x - r:.1f} {y:.1f}l{r} {-r} {r} {r} {-r} {r}z"


def _up(x: float, y: float, r: float) -> str:
    r = round(1.2 * r, 2)
    return f"M{x - r:.1f} {y + r:.1f}h{2 * r}l{-r} {-2 * r}z"


def _down(x: float, y: float, r: float) -> str:
    r = round(1.2 * r, 2)
    return f"M{x - r:.1f} {y - r:.1f}h{2 * r}l{-r} {2 * r}z"


_SHAPES: tuple[Callable[[float, float, float], str], ...] = (_circle, _square, _up, _diamond, _down)


@dataclass(frozen=True)
class Mark:
    """How one label is drawn."""

    name: str
    colour: str
    shape: Callable[[float, float, float], str]
    radius: float

    @property
    def key(self) -> Markup:
        """The mark alone, for a legend."""
        path = self.shape(6, 6, 4)
        return Markup(f'<svg viewBox="0 0 12 12" aria-hidden="true"><path d="{path}" fill="{self.colour}"/></svg>')  # noqa: S704


def marks(names: Sequence[str]) -> list[Mark]:
    """Give each label a colour and a shape; bona fide stays in the background where it stands among attacks.

    Eight colours and five shapes run side by side, so that forty labels differ and neighbours differ in both.
    """
    if set(names) <= {"bona fide", "attack"}:
        own = {"bona fide": Mark("bona fide", BONAFIDE, _circle, 2.2), "attack": Mark("attack", ATTACK, _up, 2.4)}
        return [own[name] for name in names]
    loud = [name for name in names if name != "bonafide"]
    out = [
        Mark(name, OKABE_ITO[place % len(OKABE_ITO)], _SHAPES[place % len(_SHAPES)], 2.6)
        for place, name in enumerate(loud)
    ]
    quiet = [Mark("bonafide", _QUIET, _circle, 1.4)] if "bonafide" in names else []
    return quiet + out


def scatter(places: Sequence[Sequence[int]], labels: Sequence[str], tested: Sequence[bool], title: str) -> Markup:
    """Draw points (0 … 1000, y up) by label; one path per label and part keeps hundreds of points small.

    The picture is as wide as the map and as tall as the points need.
    """
    scale = (_SIDE - 2 * _MARGIN) / _SPAN
    highest, lowest = max(y for _, y in places), min(y for _, y in places)
    tall = round((highest - lowest) * scale) + 2 * _MARGIN
    parts = [f'<rect x="0.5" y="0.5" width="{_SIDE - 1}" height="{tall - 1}" class="plot"/>']
    for mark in marks(sorted(set(labels))):
        for filled in (False, True):
            path = "".join(
                mark.shape(_MARGIN + x * scale, _MARGIN + (highest - y) * scale, mark.radius)
                for (x, y), label, test in zip(places, labels, tested, strict=True)
                if label == mark.name and test == filled
            )
            look = (
                f'fill="{mark.colour}" fill-opacity=".85"'
                if filled
                else f'fill="none" stroke="{mark.colour}" stroke-width=".8"'
            )
            if path:
                parts.append(f'<path d="{path}" {look}><title>{escape(mark.name)}</title></path>')
    # Every text that comes from data was escaped where it was put in.
    return Markup(  # noqa: S704
        f'<svg viewBox="0 0 {_SIDE} {tall}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )
