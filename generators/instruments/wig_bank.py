"""The bank of wigs, read strictly from `configs/instruments/wigs.yaml`."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from spooflab.config import Config, load_config
from spooflab.errors import ConfigError
from spooflab.generators.faces.procedural.hair import STYLES
from spooflab.seeds import seed

Front = Literal["lace", "seam", "fringe"]
_Hex = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]


class Wig(Config):
    """One kind of wig.

    Attributes:
        id: name by which protocols hold out.
        source: where the figures come from.
        styles: cuts, names of `procedural.hair.STYLES`.
        colours: sRGB of the fibres.
        uniform: 0 as varied as grown hair, 1 all fibres alike.
        gloss: strength of highlights; human hair has 0.6.
        whiteness: share of the highlights that the fibre does not tint.
        front: how the front edge is finished.
        line_mm: range of the hairline's height against a grown one.
        thickness_mm: range of what cap and own hair add to the head.
    """

    id: str = Field(pattern=r"^[a-z0-9_]+$")
    source: str = Field(min_length=10)
    styles: tuple[str, ...] = Field(min_length=1)
    colours: tuple[_Hex, ...] = Field(min_length=1)
    uniform: float = Field(ge=0, le=1)
    gloss: float = Field(ge=0.2, le=4)
    whiteness: float = Field(ge=0, le=1)
    front: Front
    line_mm: tuple[float, float]
    thickness_mm: tuple[float, float]

    @model_validator(mode="after")
    def _styles_are_known(self) -> "Wig":
        strange = sorted(set(self.styles) - {name for name, style in STYLES.items() if style.top > 0})
        if strange:
            raise ValueError(f"{self.id}: unknown styles {strange}, known: {', '.join(STYLES)}")
        return self

    @property
    def number(self) -> int:
        """The id as an int64 for parameter records."""
        return seed(0, "wig", self.id)


class WigBank(Config):
    """All wigs of one file."""

    instruments: tuple[Wig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_differ(self) -> "WigBank":
        ids = [entry.id for entry in self.instruments]
        if len(set(ids)) != len(ids):
            raise ValueError(f"ids repeat: {sorted(i for i in set(ids) if ids.count(i) > 1)}")
        return self


@lru_cache(maxsize=4)
def load_wigs(path: Path | None = None) -> dict[str, Wig]:
    """Read a bank, the shipped one by default, into a mapping from id.

    Raises:
        ConfigError: the file cannot be read, or a key or value is not what the models say.
    """
    source = Path(str(files("spooflab.configs").joinpath("instruments/wigs.yaml"))) if path is None else path
    return {entry.id: entry for entry in load_config(source, WigBank).instruments}


def choose_wigs(ids: Sequence[str] | None) -> tuple[Wig, ...]:
    """Return the wigs that `ids` allow (None or empty: all), in the bank's order.

    Raises:
        ConfigError: an id is not in the bank.
    """
    bank = load_wigs()
    unknown = [name for name in ids or () if name not in bank]
    if unknown:
        raise ConfigError(f"wigs: {unknown} not in the bank", wanted=f"ids of {', '.join(bank)}")
    return tuple(entry for name, entry in bank.items() if not ids or name in ids)


def wig_of(number: int) -> Wig:
    """Return the wig that a record's number names.

    Raises:
        ConfigError: there is none.
    """
    for entry in load_wigs().values():
        if entry.number == number:
            return entry
    raise ConfigError(f"wig number {number} is not in the bank", wanted=f"a number of {', '.join(load_wigs())}")
