"""The bank of tattoos, read strictly from `configs/instruments/tattoos.yaml`."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator

from spooflab.config import Config, load_config
from spooflab.errors import ConfigError
from spooflab.generators.instruments.kubelka_munk import Pigment, hiding_pigment
from spooflab.generators.instruments.makeup_bank import hex_to_linear
from spooflab.generators.instruments.tattoo_designs import MOTIFS
from spooflab.seeds import seed

Layer = Literal["dermis", "film", "stain"]
_Hex = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
_Millimetres = Annotated[float, Field(ge=0, le=5)]


class Tattoo(Config):
    """One kind of tattoo.

    Attributes:
        id: name by which protocols hold out.
        source: where the figures come from.
        layer: where the ink lies: in the `dermis`, in a `film` on the skin, or as a `stain` of the horny layer.
        designs: motifs that may be drawn.
        inks: sRGB masstones, lines first.
        hiding: of full density, see `hiding_pigment`.
        line_mm: range of line widths.
        veil: range of the scattering above the ink.
        blur_mm: range of the standard deviation of the blur.
    """

    id: str = Field(pattern=r"^[a-z0-9_]+$")
    source: str = Field(min_length=10)
    layer: Layer
    designs: tuple[str, ...] = Field(min_length=1)
    inks: tuple[_Hex, ...] = Field(min_length=1, max_length=2)
    hiding: float = Field(gt=0, le=4)
    line_mm: tuple[_Millimetres, _Millimetres]
    veil: tuple[float, float]
    blur_mm: tuple[_Millimetres, _Millimetres]

    @model_validator(mode="after")
    def _designs_are_known(self) -> "Tattoo":
        strange = sorted(set(self.designs) - set(MOTIFS))
        if strange:
            raise ValueError(f"{self.id}: unknown designs {strange}, known: {', '.join(MOTIFS)}")
        return self

    @property
    def number(self) -> int:
        """The id as an int64 for parameter records."""
        return seed(0, "tattoo", self.id)


class TattooBank(Config):
    """All tattoos of one file."""

    instruments: tuple[Tattoo, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_differ(self) -> "TattooBank":
        ids = [entry.id for entry in self.instruments]
        if len(set(ids)) != len(ids):
            raise ValueError(f"ids repeat: {sorted(i for i in set(ids) if ids.count(i) > 1)}")
        return self


@lru_cache(maxsize=4)
def load_tattoos(path: Path | None = None) -> dict[str, Tattoo]:
    """Read a bank, the shipped one by default, into a mapping from id.

    Raises:
        ConfigError: the file cannot be read, or a key or value is not what the models say.
    """
    source = Path(str(files("spooflab.configs").joinpath("instruments/tattoos.yaml"))) if path is None else path
    return {entry.id: entry for entry in load_config(source, TattooBank).instruments}


def choose_tattoos(ids: Sequence[str] | None) -> tuple[Tattoo, ...]:
    """Return the tattoos that `ids` allow (None or empty: all), in the bank's order.

    Raises:
        ConfigError: an id is not in the bank.
    """
    bank = load_tattoos()
    unknown = [name for name in ids or () if name not in bank]
    if unknown:
        raise ConfigError(f"tattoos: {unknown} not in the bank", wanted=f"ids of {', '.join(bank)}")
    return tuple(entry for name, entry in bank.items() if not ids or name in ids)


def ink_of(tattoo: Tattoo, which: int) -> Pigment:
    """Return the optics of one of its inks at full density."""
    return _optics(tattoo.inks[which], tattoo.hiding)


@lru_cache(maxsize=64)
def _optics(masstone: str, hiding: float) -> Pigment:
    with torch.inference_mode(False):
        return hiding_pigment(hex_to_linear(masstone), hiding)
