"""The bank of things worn on a part of the face, read strictly from `configs/instruments/partials.yaml`."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from spooflab.config import Config, load_config
from spooflab.errors import ConfigError, DataError
from spooflab.generators.instruments.ink_colour import lab_to_linear
from spooflab.generators.instruments.paper import Paper, load_papers

Range = tuple[float, float]
Lab = tuple[
    Annotated[float, Field(ge=0, le=100)],
    Annotated[float, Field(ge=-110, le=110)],
    Annotated[float, Field(ge=-110, le=110)],
]
Pair = tuple[Annotated[float, Field(gt=0, le=200)], Annotated[float, Field(gt=0, le=200)]]
_DARKEST = 0.004


class _Worn(Config):
    """What every worn thing states.

    Attributes:
        id: name by which protocols hold out.
        number: the id in records; never given to another thing.
        source: where the figures come from.
    """

    id: str = Field(pattern=r"^[a-z0-9_]+$")
    number: int = Field(ge=1, lt=2**31)
    source: str = Field(min_length=10)


class _Printed(_Worn):
    """A worn thing that is printed.

    Attributes:
        papers: ids of the paper bank that may carry the print.
        card_mm: thickness of the sheet with what it is glued to.
        core_lab: colour of a cut edge.
    """

    papers: tuple[str, ...] = Field(min_length=1)
    card_mm: float = Field(ge=0.05, le=4)
    core_lab: Lab = (90, 0, 4)

    @model_validator(mode="after")
    def _papers_exist(self) -> "_Printed":
        unknown = sorted(set(self.papers) - set(load_papers()))
        if unknown:
            raise ValueError(f"{self.id}: papers {unknown} are not in the paper bank")
        return self

    def paper(self, index: int) -> Paper:
        """Return one of the papers; any index will do."""
        return load_papers()[self.papers[index % len(self.papers)]]


class Plastic(Config):
    """A plastic: one of several colours, its gloss.

    Attributes:
        labs: body colours.
        roughness: perceptual, 0.08 (polished) to 0.6.
        f0: specular reflectance at normal incidence; 0.04-0.05 for plastics of index 1.5-1.57.
    """

    labs: tuple[Lab, ...] = Field(min_length=1)
    roughness: float = Field(ge=0.05, le=0.8)
    f0: float = Field(0.043, ge=0.02, le=0.12)

    def reflectance(self, index: int) -> Tensor:
        """Return (3,) linear reflectance of one of the colours."""
        return reflectance(self.labs[index % len(self.labs)])


class FunnyEye(_Worn):
    """Novelty eyes.

    Attributes:
        kind: `printed` lenses in a frame, `googly` eyes (loose pupil under a clear dome), `bulging` moulded half balls,
            `slinky` eyeballs on springs, or `sticker` (drawn open eyes on the lids, no frame).
        rim: outline of the lenses.
        lens_mm: half width and half height of a lens.
        rim_mm: width and depth of the rim's bar.
        plastic: of the frame.
        lens_roughness: perceptual roughness of the lens or dome.
        bulge_mm: least and greatest height of the lens over its edge.
        iris_mm: least and greatest radius of the drawn iris.
        hole_mm: least and greatest radius of the hole in the pupil, 0 for none.
        gap_mm: least and greatest distance of the lens before the eyeball.
        spring_mm: least and greatest length of the springs.
    """

    kind: Literal["printed", "googly", "bulging", "slinky", "sticker"]
    rim: Literal["round", "square", "cat", "heart", "star", "almond"]
    lens_mm: Pair
    rim_mm: Pair = (3.0, 3.0)
    plastic: Plastic
    lens_roughness: float = Field(0.2, ge=0.05, le=0.8)
    bulge_mm: Range = (0.0, 1.0)
    iris_mm: Range = (6.0, 12.0)
    hole_mm: Range = (0.0, 0.0)
    gap_mm: Range = (8.0, 16.0)
    spring_mm: Range = (0.0, 0.0)


class PaperGlasses(_Printed):
    """Glasses cut from a print of another's eyes.

    Attributes:
        cut: outline: `cinema` (cardboard frame of 3-D cinemas), `strip`, `wayfarer`, `goggles` or `domino`.
        width_mm, height_mm: least and greatest size of the front.
        rim_mm: least and greatest unprinted border.
        gap_mm: least and greatest distance before the eyeballs.
        radius_mm: least and greatest radius of the bend about the vertical.
        temples: paper arms, a string, or none (held or stuck to worn glasses).
        temple_mm: height of the arms.
    """

    cut: Literal["cinema", "strip", "wayfarer", "goggles", "domino"]
    width_mm: Range
    height_mm: Range
    rim_mm: Range
    gap_mm: Range
    radius_mm: Range
    temples: Literal["paper", "string", "none"]
    temple_mm: float = Field(12.0, ge=1, le=40)


class MouthPiece(_Printed):
    """A printed lower part of a face.

    Attributes:
        region: what of the donor it shows.
        width_mm, height_mm: least and greatest size.
        corner: shape of the cut: 0 a rectangle, 1 an ellipse.
        rim_mm: least and greatest unprinted border.
        fastening: `tape`, `elastic` (ear loops), `strap` round the head, or `held`/glued with nothing to see.
        gap_mm: least and greatest clearance over the highest point underneath.
        fabric: cloth with soft folds instead of paper.
        fold_slope: root mean square slope of folds or waves.
    """

    region: Literal["mouth", "mouth_nose", "lower_face"]
    width_mm: Range
    height_mm: Range
    corner: float = Field(ge=0, le=1)
    rim_mm: Range
    fastening: Literal["tape", "elastic", "strap", "none"]
    gap_mm: Range
    fabric: bool = False
    fold_slope: float = Field(0.02, ge=0, le=0.4)


class EyePatch(_Printed):
    """A printed eye worn over an eye.

    Attributes:
        cut: outline of each patch.
        width_mm, height_mm: least and greatest size.
        rim_mm: least and greatest unprinted border.
        sides: both eyes, one, or either.
        fastening: tape over the edges or glue.
        gap_mm: least and greatest clearance over the highest point underneath.
        curl_per_m: least and greatest curvature by which the ends lift, 1/m.
    """

    cut: Literal["oval", "rectangle", "almond"]
    width_mm: Range
    height_mm: Range
    rim_mm: Range
    sides: Literal["both", "one", "either"]
    fastening: Literal["tape", "none"]
    gap_mm: Range
    curl_per_m: Range


class PrintedPatch(_Printed):
    """A printed adversarial patch.

    Attributes:
        place: on which the sheet sits.
        cut: outline of the sheet; `wayfarer` glasses for `glasses`.
        width_mm, height_mm: least and greatest size.
        cells: least and greatest number of pattern cells across.
        gap_mm: least and greatest clearance over the highest point underneath.
    """

    place: Literal["forehead", "cheek", "glasses", "band"]
    cut: Literal["rectangle", "oval", "wayfarer"]
    width_mm: Range
    height_mm: Range
    cells: tuple[int, int]
    gap_mm: Range


class PartialBank(Config):
    """All worn things of one file, by species."""

    partial_funny_eye: tuple[FunnyEye, ...] = Field(min_length=1)
    partial_paper_glasses: tuple[PaperGlasses, ...] = Field(min_length=1)
    partial_mouth: tuple[MouthPiece, ...] = Field(min_length=1)
    partial_eye: tuple[EyePatch, ...] = Field(min_length=1)
    adversarial_patch: tuple[PrintedPatch, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_differ(self) -> "PartialBank":
        rows = [row for name in type(self).model_fields for row in getattr(self, name)]
        for field in ("id", "number"):
            seen = [getattr(row, field) for row in rows]
            twice = sorted({value for value in seen if seen.count(value) > 1})
            if twice:
                raise ValueError(f"{field} repeats: {twice}")
        for row in rows:
            _check_ranges(row)
        return self


InstrumentT = TypeVar("InstrumentT", FunnyEye, PaperGlasses, MouthPiece, EyePatch, PrintedPatch)


@lru_cache(maxsize=4)
def load_partials(path: Path | None = None) -> PartialBank:
    """Read a bank, the shipped one by default.

    Raises:
        ConfigError: the file cannot be read, or a key or value is not what the models say.
    """
    source = Path(str(files("spooflab.configs").joinpath("instruments/partials.yaml"))) if path is None else path
    return load_config(source, PartialBank)


def choose(bank: Sequence[InstrumentT], ids: Sequence[str] | None, species: str) -> tuple[InstrumentT, ...]:
    """Return the instruments that `ids` allows (None or empty: all), in the bank's order.

    Raises:
        ConfigError: an id that the species' bank does not have.
    """
    known = [item.id for item in bank]
    unknown = [name for name in ids or () if name not in known]
    if unknown:
        raise ConfigError(f"{species}: {unknown} not in its bank", wanted=f"ids of {', '.join(known)}")
    return tuple(item for item in bank if not ids or item.id in ids)


def by_number(bank: Sequence[InstrumentT], number: int, species: str) -> InstrumentT:
    """Return the instrument of a record.

    Raises:
        DataError: the bank has no such instrument (any more).
    """
    for item in bank:
        if item.number == number:
            return item
    raise DataError(
        f"{species}: instrument {number} is not in the bank", wanted="the bank that the record was made with"
    )


def within(items: Sequence[Config], name: str, share: Tensor, *, log: bool = False) -> Tensor:
    """Return (B,) the point at `share` (B,) of each instrument's range `name`; its logarithm's where `log`."""
    limits = torch.tensor([getattr(item, name) for item in items], dtype=torch.float32)
    limits = limits.log() if log else limits
    return limits[:, 0] + (limits[:, 1] - limits[:, 0]) * share


def reflectance(lab: Lab) -> Tensor:
    """Return (3,) linear sRGB reflectance of a CIELAB colour."""
    return lab_to_linear(torch.tensor(lab, dtype=torch.float32)).clamp(_DARKEST, 0.95)


def _check_ranges(row: Config) -> None:
    for name in type(row).model_fields:
        value = getattr(row, name)
        ranged = isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], int | float)
        sized = isinstance(row, FunnyEye) and name in ("lens_mm", "rim_mm")
        if ranged and not sized and value[0] > value[1]:
            raise ValueError(f"{getattr(row, 'id', '')}: {name} {value} runs backwards")
