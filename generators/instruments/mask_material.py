"""The bank of three-dimensional masks: what each instrument is, read strictly from `configs/instruments/masks.yaml`."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from spooflab.config import Config, load_config
from spooflab.errors import ConfigError, DataError
from spooflab.seeds import seed

MaskSpecies = Literal["mask_rigid", "mask_silicone", "mask_transparent", "mask_half", "mannequin"]
Paint = Literal["donor", "bare", "pattern", "skin"]
Eyes = Literal["none", "almond", "round"]
Unit = Annotated[float, Field(ge=0, le=1)]
Colour = tuple[Unit, Unit, Unit]
Lengths = tuple[Annotated[float, Field(ge=0, le=60)], Annotated[float, Field(ge=0, le=60)]]


class Finish(Config):
    """How the surface reflects.

    Attributes:
        paint: `donor` (the face of the impersonated), `skin` (one skin colour), `pattern`, or `bare` (`colour`).
        colour: albedo of the bare material, which cut edges show whatever the paint; linear sRGB.
        alpha: GGX roughness of the surface, range that is drawn from.
        f0: reflectance at normal incidence.
        free_path_mm: diffuse mean free path of the solid for red, green, blue; 0 where opaque paint or pigment stops
            light at once.
        coat: share of a second, smoother lobe (varnish, sweat, mould shine), alpha 0.12.
    """

    paint: Paint
    colour: Colour
    alpha: tuple[Annotated[float, Field(ge=0.02, le=1)], Annotated[float, Field(ge=0.02, le=1)]]
    f0: float = Field(0.04, ge=0.02, le=0.12)
    free_path_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    coat: float = Field(0.0, ge=0, le=1)


class Making(Config):
    """What production does to the picture on the mask and to its surface.

    Attributes:
        detail_mm: Gaussian blur of the painted picture (print resolution, airbrush).
        colour_error: relative standard deviation of the paint's colour, per channel.
        contrast: contrast of the painted picture relative to the face's, in logarithms.
        mottle: relative standard deviation of the paint in blotches of about a centimetre.
        layer_mm: height of printed layers, 0 for cast or formed masks.
        relief: slope (root mean square) of brush strokes, grain or ripples.
        grain_mm: their length.
    """

    detail_mm: Annotated[float, Field(ge=0, le=5)] = 0.6
    colour_error: Annotated[float, Field(ge=0, le=0.3)] = 0.06
    contrast: Annotated[float, Field(ge=0.2, le=1.2)] = 0.9
    mottle: Annotated[float, Field(ge=0, le=0.3)] = 0.03
    layer_mm: Annotated[float, Field(ge=0, le=1)] = 0.0
    relief: Annotated[float, Field(ge=0, le=0.4)] = 0.02
    grain_mm: Annotated[float, Field(ge=0.3, le=40)] = 3.0


class Shell(Config):
    """The mask's body.

    Attributes:
        thickness_mm: range.
        gap_mm: range of the air between the wearer's face and the mask where it does not touch.
        eyes: openings; `none` for painted eyes.
        eye_mm: range of the opening's half width.
        nostrils: whether they are pierced.
        mouth: probability of a slit between the lips.
        strap: probability of an elastic band.
        follows: share of the wearer's own shape in the mask's: 0 for rigid ones.
    """

    thickness_mm: Lengths
    gap_mm: Lengths
    eyes: tuple[Eyes, ...] = ("almond",)
    eye_mm: Lengths = (14.0, 17.0)
    nostrils: bool = True
    mouth: Unit = 0.0
    strap: Unit = 0.0
    follows: Unit = 0.0


class Clear(Config):
    """A transparent material.

    Attributes:
        index: refractive index.
        absorption_per_mm: Napierian absorption coefficient for red, green, blue.
        haze: share of the transmitted light that is scattered by small angles (ASTM D1003 haze).
        ripple: slope (root mean square) of the sheet's waves from forming.
        ripple_mm: their length.
    """

    index: float = Field(ge=1.3, le=1.8)
    absorption_per_mm: tuple[float, float, float]
    haze: float = Field(ge=0, le=0.6)
    ripple: float = Field(ge=0, le=0.3)
    ripple_mm: float = Field(ge=2, le=60)


class Mask(Config):
    """One instrument.

    Attributes:
        id: name by which protocols hold out.
        species: which attack wears it.
        source: where the figures come from.
        finish: reflectance.
        making: faults of production.
        shell: geometry.
        clear: of transparent masks only.
    """

    id: str = Field(pattern=r"^[a-z0-9_]+$")
    species: MaskSpecies
    source: str = Field(min_length=10)
    finish: Finish
    making: Making = Making()
    shell: Shell
    clear: Clear | None = None

    @model_validator(mode="after")
    def _clear_where_transparent(self) -> "Mask":
        if (self.clear is not None) != (self.species == "mask_transparent"):
            raise ValueError(f"{self.id}: `clear` belongs to mask_transparent and to nothing else")
        return self

    @property
    def number(self) -> int:
        """The id as an int64 for parameter records; independent of the order of the bank."""
        return seed(0, "mask", self.id)


class MaskBank(Config):
    """All masks of one file."""

    instruments: tuple[Mask, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_differ(self) -> "MaskBank":
        ids = [mask.id for mask in self.instruments]
        if len(set(ids)) != len(ids):
            raise ValueError(f"ids repeat: {sorted(i for i in set(ids) if ids.count(i) > 1)}")
        return self


@lru_cache(maxsize=4)
def load_masks(path: Path | None = None) -> dict[str, Mask]:
    """Read a bank (the shipped one by default) into a mapping from id, in the file's order.

    Raises:
        ConfigError: the file cannot be read, or a key or value is not what the models say.
    """
    source = Path(str(files("spooflab.configs").joinpath("instruments/masks.yaml"))) if path is None else path
    return {mask.id: mask for mask in load_config(source, MaskBank).instruments}


def choose_masks(ids: Sequence[str] | None, species: str, *, path: Path | None = None) -> tuple[Mask, ...]:
    """Return the masks of a species that `ids` allows (None or empty: all of them), in the bank's order.

    Raises:
        ConfigError: an id is not in the bank, or belongs to another species.
    """
    bank = {name: mask for name, mask in load_masks(path).items() if mask.species == species}
    unknown = [name for name in ids or () if name not in bank]
    if unknown:
        raise ConfigError(f"masks: {unknown} not in the bank for {species}", wanted=f"ids of {', '.join(bank)}")
    return tuple(mask for name, mask in bank.items() if not ids or name in ids)


def mask_of(number: int, species: str) -> Mask:
    """Return the instrument of a record.

    Raises:
        DataError: the bank has no such mask of that species (any more).
    """
    for mask in load_masks().values():
        if mask.number == number and mask.species == species:
            return mask
    raise DataError(f"{species}: mask number {number} is not in the bank", wanted="the bank the record was made with")
