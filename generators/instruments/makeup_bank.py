"""The bank of cosmetics: products, looks, kits and paintings, read strictly from `configs/instruments/makeups.yaml`."""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from spooflab.config import Config, load_config
from spooflab.errors import ConfigError
from spooflab.generators.instruments.kubelka_munk import Pigment, hiding_pigment
from spooflab.seeds import seed

PARTS = (
    "base",
    "concealer",
    "contour",
    "blush",
    "highlight",
    "glitter",
    "lid",
    "crease",
    "liner",
    "lashes",
    "brows",
    "lips",
    "lip_gloss",
)
"""Parts of a look in the order in which they are applied; records index it, so only append."""
DESIGNS = (
    "wrinkles",
    "latex",
    "injuries",
    "stubble",
    "beard",
    "camouflage",
    "dazzle",
    "clown",
    "skull",
    "animal",
    "tribal",
    "flag",
)
"""Kinds of painting that `painting.yaml` entries may name."""
Part = Literal[
    "base", "concealer", "contour", "blush", "highlight", "glitter", "lid", "crease", "liner", "lashes", "brows",
    "lips", "lip_gloss", "paint",
]  # fmt: skip
Design = Literal[
    "wrinkles", "latex", "injuries", "stubble", "beard", "camouflage", "dazzle", "clown", "skull", "animal", "tribal",
    "flag",
]  # fmt: skip
_Id = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
_Amount = Annotated[float, Field(ge=0, le=5)]


class Product(Config):
    """One product.

    Attributes:
        id: name.
        part: where it is used.
        masstone: sRGB as `#rrggbb` of a layer that hides everything, or `skin`: mixed to the wearer.
        hiding: of one application, see `hiding_pigment`.
        roughness, f0: GGX figures of its surface.
        matte: share of the skin's own shine that one application hides.
        pearl: share of the surface in mirror-like flakes.
    """

    id: _Id
    part: Part
    masstone: str = Field(pattern=r"^(#[0-9a-f]{6}|skin)$")
    hiding: float = Field(gt=0, le=8)
    roughness: float = Field(ge=0.1, le=0.8)
    f0: float = Field(ge=0.02, le=0.5)
    matte: float = Field(ge=0, le=1)
    pearl: float = Field(0.0, ge=0, le=1)

    def pigment(self, skin: Tensor | None = None) -> Pigment:
        """Return its optics; `skin` (3,) is the shade where the masstone is mixed to the wearer.

        Raises:
            ConfigError: the masstone is the wearer's and there is none.
        """
        if self.masstone != "skin":
            return _optics(self.masstone, self.hiding)
        if skin is None:
            raise ConfigError(f"product {self.id}: its shade is the wearer's", wanted="a skin colour")
        return hiding_pigment(skin, self.hiding)

    @property
    def number(self) -> int:
        """The id as an int64 for parameter records; independent of the order of the bank."""
        return seed(0, "product", self.id)


class Use(Config):
    """How a look uses products for one part.

    Attributes:
        products: which may be chosen.
        amount: range in applications.
        share: how often the part is done at all.
        lighter: how much lighter than the skin a base is, relative.
    """

    products: tuple[_Id, ...] = Field(min_length=1)
    amount: tuple[_Amount, _Amount]
    share: float = Field(1.0, gt=0, le=1)
    lighter: float = Field(0.0, ge=-0.5, le=0.8)


class Look(Config):
    """An instrument of cosmetic makeup: which products on which parts, how much of them."""

    id: _Id
    source: str = Field(min_length=10)
    parts: dict[Part, Use] = Field(min_length=3)

    @property
    def number(self) -> int:
        """The id as an int64 for parameter records."""
        return seed(0, "makeup", self.id)


class Kit(Config):
    """An instrument of impersonation: what the likeness is painted with.

    Attributes:
        id: name by which protocols hold out.
        source: where the figures come from.
        cover: product that covers the wearer's own skin.
        paint_hiding: hiding of the drawing paints relative to the cover's.
        softness_mm: standard deviation of the edge of what is painted.
        grain: relative standard deviation of the paint laid down from spot to spot.
        gloss: share of the surface left glossy.
    """

    id: _Id
    source: str = Field(min_length=10)
    cover: _Id
    paint_hiding: float = Field(gt=0, le=3)
    softness_mm: float = Field(gt=0, le=6)
    grain: float = Field(ge=0, le=0.5)
    gloss: float = Field(ge=0, le=1)

    @property
    def number(self) -> int:
        """The id as an int64 for parameter records."""
        return seed(0, "makeup", self.id)


class Painting(Config):
    """An instrument of obfuscation: what is painted on the face.

    Attributes:
        id: name by which protocols hold out.
        source: where the figures come from.
        design: what is painted.
        paints: products to choose from.
        accent: a second colour.
        hiding: range of the applications laid.
        relief: how much of the design's relief is real (latex, collodion, 0 for paint alone).
    """

    id: _Id
    source: str = Field(min_length=10)
    design: Design
    paints: tuple[_Id, ...] = Field(min_length=1)
    accent: tuple[_Id, ...] = Field(min_length=1)
    hiding: tuple[_Amount, _Amount]
    relief: float = Field(ge=0, le=2)

    @property
    def number(self) -> int:
        """The id as an int64 for parameter records."""
        return seed(0, "makeup", self.id)


class MakeupBank(Config):
    """All of one file."""

    products: tuple[Product, ...] = Field(min_length=1)
    looks: tuple[Look, ...] = Field(min_length=1)
    kits: tuple[Kit, ...] = Field(min_length=1)
    paintings: tuple[Painting, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_known(self) -> "MakeupBank":
        products = [product.id for product in self.products]
        ids = [e.id for e in self.looks] + [e.id for e in self.kits] + [e.id for e in self.paintings]
        for names in (products, ids):
            if len(set(names)) != len(names):
                raise ValueError(f"ids repeat: {sorted(n for n in set(names) if names.count(n) > 1)}")
        used = {name for look in self.looks for use in look.parts.values() for name in use.products}
        used |= {kit.cover for kit in self.kits}
        used |= {name for painting in self.paintings for name in (*painting.paints, *painting.accent)}
        strange = sorted(used - set(products))
        if strange:
            raise ValueError(f"products that are not in the bank: {', '.join(strange)}")
        return self

    @cached_property
    def _products(self) -> dict[int | str, Product]:
        return {key: product for product in self.products for key in (product.id, product.number)}

    def product(self, key: str | int) -> Product:
        """Return a product by its id, or by the number in a record.

        Raises:
            ConfigError: there is none.
        """
        if key not in self._products:
            raise ConfigError(
                f"product {key} is not in the bank", wanted=f"one of {', '.join(p.id for p in self.products)}"
            )
        return self._products[key]


EntryT = TypeVar("EntryT", Look, Kit, Painting)


def numbered(entries: Sequence[EntryT], number: int, what: str) -> EntryT:
    """Return the entry whose number is given.

    Raises:
        ConfigError: there is none.
    """
    for entry in entries:
        if entry.number == number:
            return entry
    raise ConfigError(
        f"{what}: number {number} is not in the bank", wanted=f"a number of {', '.join(e.id for e in entries)}"
    )


def chosen(entries: Sequence[EntryT], ids: Sequence[str] | None, what: str) -> tuple[EntryT, ...]:
    """Return the entries that `ids` allow (None or empty: all), in the bank's order.

    Raises:
        ConfigError: an id is not in the bank.
    """
    known = [entry.id for entry in entries]
    unknown = [name for name in ids or () if name not in known]
    if unknown:
        raise ConfigError(f"{what}: {unknown} not in the bank", wanted=f"ids of {', '.join(known)}")
    return tuple(entry for entry in entries if not ids or entry.id in ids)


@lru_cache(maxsize=4)
def load_makeups(path: Path | None = None) -> MakeupBank:
    """Read a bank, the shipped one by default.

    Raises:
        ConfigError: the file cannot be read, or a key or value is not what the models say.
    """
    source = Path(str(files("spooflab.configs").joinpath("instruments/makeups.yaml"))) if path is None else path
    return load_config(source, MakeupBank)


@lru_cache(maxsize=256)
def _optics(masstone: str, hiding: float) -> Pigment:
    with torch.inference_mode(False):
        return hiding_pigment(hex_to_linear(masstone), hiding)


def hex_to_linear(text: str) -> Tensor:
    """Return (3,) linear sRGB of `#rrggbb` (IEC 61966-2-1)."""
    codes = torch.tensor([int(text[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return torch.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
