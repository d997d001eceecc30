"""The bank of papers and printers: what each instrument is, read strictly from `configs/instruments/papers.yaml`."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from spooflab.config import Config, load_config
from spooflab.errors import ConfigError
from spooflab.generators.instruments.ink_colour import lab_to_linear
from spooflab.generators.instruments.ink_model import InkModel, overprints
from spooflab.generators.instruments.ink_separation import BlackGeneration, separation_table
from spooflab.seeds import seed

Lab = tuple[
    Annotated[float, Field(ge=0, le=100)],
    Annotated[float, Field(ge=-110, le=110)],
    Annotated[float, Field(ge=-110, le=110)],
]
Use = Literal["a4", "photo", "poster"]
Process = Literal["am", "fm", "contone"]
Spot = Literal["euclidean", "round", "ellipse", "line"]
_DARKEST = 0.003
"""Least reflectance of any channel: saturated inks leave sRGB's gamut, and no print is blacker."""


class InksLab(Config):
    """CIELAB of the solids and of their overprints."""

    c: Lab
    m: Lab
    y: Lab
    k: Lab
    cm: Lab
    cy: Lab
    my: Lab
    cmy: Lab


class Angles(Config):
    """Screen angle of each ink in degrees, counted from the sheet's u axis."""

    c: float = Field(15, ge=0, lt=180)
    m: float = Field(75, ge=0, lt=180)
    y: float = Field(0, ge=0, lt=180)
    k: float = Field(45, ge=0, lt=180)


class Screen(Config):
    """An amplitude-modulated halftone: `lpi` lines per inch, square cells at each ink's angle, growing dots."""

    lpi: float = Field(ge=40, le=250)
    angles_deg: Angles = Angles()
    spot: Spot = "euclidean"


class Stochastic(Config):
    """A frequency-modulated halftone: equal dots on a grid of `dpi`, placed by a blue-noise mask."""

    dpi: float = Field(ge=150, le=4800)


class Black(Config):
    """Black generation; see `BlackGeneration`."""

    gcr: float = Field(0.6, ge=0, le=1)
    start: float = Field(0.15, ge=0, lt=1)
    ink_limit: float = Field(3.0, ge=1.5, le=4)


Density = tuple[
    Annotated[float, Field(ge=0, le=3)], Annotated[float, Field(ge=0, le=3)], Annotated[float, Field(ge=0, le=3)]
]


class Dyes(Config):
    """Optical density over white, in red, green and blue, of each dye at full amount."""

    c: Density
    m: Density
    y: Density


class Surface(Config):
    """The paper itself.

    Attributes:
        roughness: GGX alpha of the surface, 0.03 (glossy) to 0.7.
        f0: specular reflectance at normal incidence.
        fibre_contrast: standard deviation of the reflectance between fibres, relative.
        fibre_mm: correlation length of that texture.
        brightener: rise of the blue reflectance in light with full daylight's ultraviolet (optical brightener).
        translucency: share of light that passes from behind.
        woven: a weave of threads `fibre_mm` apart (banners, textiles) instead of fibres.
        folds: whether it is folded at times, as thin paper is, and films, laminates and textiles are not.
    """

    roughness: float = Field(ge=0.03, le=0.8)
    f0: float = Field(0.04, ge=0.01, le=0.1)
    fibre_contrast: float = Field(ge=0, le=0.1)
    fibre_mm: float = Field(ge=0.1, le=3)
    brightener: float = Field(ge=0, le=0.2)
    translucency: float = Field(ge=0, le=0.3)
    woven: bool = False
    folds: bool = True


class Faults(Config):
    """What the printer does wrong.

    Attributes:
        banding: relative standard deviation of the ink laid down from line to line.
        band_mm: period of the strongest band.
        misregistration_um: standard deviation of each ink plane's displacement.
        mottle: relative standard deviation of the ink laid down in blotches.
    """

    banding: float = Field(ge=0, le=0.2)
    band_mm: float = Field(gt=0.2, le=100)
    misregistration_um: float = Field(ge=0, le=500)
    mottle: float = Field(ge=0, le=0.2)


class Paper(Config):
    """One instrument: a paper and the printer that printed on it.

    Attributes:
        id: name by which protocols hold out.
        use: `a4` for office prints, `photo` for photo prints, `poster` for large formats.
        process: `am` halftone, `fm` halftone, or `contone`.
        source: where the figures come from.
        weight: how often it is met relative to the others of its use.
        white_lab: bare paper.
        inks_lab: solids, for halftones.
        dye_density: dyes, for continuous tone.
        yule_nielsen_n: light spread in the paper; 1 for none.
        dot_gain: mechanical growth of a 50 % dot.
        screen, fm: the halftone of that process.
        black: black generation.
        surface: the paper.
        faults: the printer's.
    """

    id: str = Field(pattern=r"^[a-z0-9_]+$")
    use: Use
    process: Process
    source: str = Field(min_length=10)
    weight: float = Field(1.0, gt=0, le=10)
    white_lab: Lab
    inks_lab: InksLab | None = None
    dye_density: Dyes | None = None
    yule_nielsen_n: float = Field(1.0, ge=1, le=4)
    dot_gain: float = Field(0.0, ge=0, le=0.3)
    screen: Screen | None = None
    fm: Stochastic | None = None
    black: Black = Black()
    surface: Surface
    faults: Faults

    @model_validator(mode="after")
    def _process_has_its_figures(self) -> "Paper":
        needed = {"am": ("inks_lab", "screen"), "fm": ("inks_lab", "fm"), "contone": ("dye_density",)}[self.process]
        present = {n for n in ("inks_lab", "screen", "fm", "dye_density") if getattr(self, n) is not None}
        if present != set(needed):
            raise ValueError(f"{self.id}: process {self.process} wants {', '.join(needed)}, seen {sorted(present)}")
        return self

    def ink_model(self) -> InkModel:
        """Return the forward model of the printer as it was characterised."""
        white = _reflectance([self.white_lab])[0]
        if self.dye_density is not None:
            rows = [self.dye_density.c, self.dye_density.m, self.dye_density.y, (0.0, 0.0, 0.0)]
            return InkModel(primaries=white.repeat(16, 1), density=torch.tensor(rows))
        assert self.inks_lab is not None
        inks = self.inks_lab
        singles = _reflectance([self.white_lab, inks.c, inks.m, inks.y, inks.k])
        primaries = overprints(singles, _reflectance([inks.cm, inks.cy, inks.my, inks.cmy]))
        return InkModel(primaries=primaries.clamp(min=_DARKEST), n=self.yule_nielsen_n, dot_gain=self.dot_gain)

    def black_generation(self) -> BlackGeneration:
        """Return how the separation uses black."""
        has_black = self.process != "contone"
        return BlackGeneration(
            self.black.gcr, self.black.start, self.black.ink_limit if has_black else 3.0, has_black=has_black
        )

    @property
    def number(self) -> int:
        """The id as an int64 for parameter records; independent of the order of the bank."""
        return seed(0, "paper", self.id)


class PaperBank(Config):
    """All papers of one file."""

    instruments: tuple[Paper, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_differ(self) -> "PaperBank":
        ids = [paper.id for paper in self.instruments]
        if len(set(ids)) != len(ids):
            raise ValueError(f"ids repeat: {sorted(i for i in set(ids) if ids.count(i) > 1)}")
        return self


@lru_cache(maxsize=4)
def load_papers(path: Path | None = None) -> dict[str, Paper]:
    """Read a bank (the shipped one by default) into a mapping from id, in the file's order.

    Raises:
        ConfigError: the file cannot be read, or a key or value is not what the models say.
    """
    source = Path(str(files("spooflab.configs").joinpath("instruments/papers.yaml"))) if path is None else path
    return {paper.id: paper for paper in load_config(source, PaperBank).instruments}


def choose_papers(ids: Sequence[str] | None, uses: Sequence[Use], *, path: Path | None = None) -> tuple[Paper, ...]:
    """Return the papers of `uses` that `ids` allows (None or empty: all of them), in the bank's order.

    Raises:
        ConfigError: an id is not in the bank, or is for another use.
    """
    bank = {name: paper for name, paper in load_papers(path).items() if paper.use in uses}
    unknown = [name for name in ids or () if name not in bank]
    if unknown:
        raise ConfigError(
            f"papers: {unknown} not in the bank for {', '.join(uses)}", wanted=f"ids of {', '.join(bank)}"
        )
    return tuple(paper for name, paper in bank.items() if not ids or name in ids)


@lru_cache(maxsize=32)
def separation_of(paper: Paper) -> Tensor:
    """Return the paper's separation table (4, 17, 17, 17); solved once for each process."""
    with torch.inference_mode(False), torch.no_grad():
        return separation_table(paper.ink_model(), paper.black_generation())


def _reflectance(labs: Sequence[Lab]) -> Tensor:
    return lab_to_linear(torch.tensor(labs)).clamp(min=_DARKEST)
