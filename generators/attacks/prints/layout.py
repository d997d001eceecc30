"""Formats of printed sheets, how a photograph is laid out on them, and what stays around it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.instruments.paper import Paper
from spooflab.params import choice, uniform

A4_MM = (210.0, 297.0)
PHOTO_MM = ((102.0, 152.0), (127.0, 178.0))
"""10 x 15 cm and 13 x 18 cm prints."""
POSTER_MM = (
    (297.0, 420.0),
    (420.0, 594.0),
    (594.0, 841.0),
    (500.0, 700.0),
    (610.0, 914.0),
    (700.0, 1000.0),
    (850.0, 2000.0),
)
"""A3, A2, A1 (ISO 216), the 50 x 70 cm, 24 x 36 inch and 70 x 100 cm stock sizes, and a roll-up display."""
_ROLL_UP = 6


@dataclass(frozen=True)
class Layout:
    """Sheets with the photograph on them, batched.

    Attributes:
        sheet_mm: (B, 2) width and height of the sheet.
        picture_mm: (B,) printed width of the whole (square) photograph before the margins crop it.
        margin_mm: (B,) unprinted border, 0 for borderless.
        offset_mm: (B, 2) place of the face's centre relative to the sheet's.
        ground: (B, 3) sRGB-encoded colour printed around the photograph within the margins, 1 for none.
        roll_up: (B,) bool, a display that stands by itself.
    """

    sheet_mm: Tensor
    picture_mm: Tensor
    margin_mm: Tensor
    offset_mm: Tensor
    ground: Tensor
    roll_up: Tensor


def lay_out(papers: Sequence[Paper], generator: torch.Generator) -> Layout:
    """Draw a sheet for each paper.

    The photograph is square: it fills the sheet's height (its sides are cropped), its width (the ground shows above
    and below), something between, or, on A4, less.
    """
    n = len(papers)
    photo, poster = (torch.tensor([paper.use == use for paper in papers]) for use in ("photo", "poster"))
    office = ~photo & ~poster
    small = torch.tensor(PHOTO_MM)[choice(n, len(PHOTO_MM), generator)]
    large = choice(n, len(POSTER_MM), generator)
    lying = torch.rand(n, generator=generator) < torch.where(poster & (large != _ROLL_UP), 0.2, 0.1)
    sheet = torch.tensor(A4_MM).expand(n, 2)
    sheet = torch.where(poster[:, None], torch.tensor(POSTER_MM)[large], sheet)
    roll_up = poster & (large == _ROLL_UP)
    lying = lying & ~photo & ~roll_up
    sheet = torch.where(lying[:, None], sheet.flip(-1), sheet)
    sheet = torch.where(photo[:, None], small, sheet)
    bare = torch.where(photo, 0.6, torch.where(poster, 0.45, 0.15))
    white = torch.where(photo, uniform(n, 3, 6, generator), uniform(n, 4, 14, generator))
    white = torch.where(poster, uniform(n, 0.015, 0.06, generator) * sheet[:, 0], white)
    margin = torch.where(torch.rand(n, generator=generator) < bare, 0.0, white)
    inner = sheet - 2 * margin[:, None]
    short, long = inner.amin(-1), inner.amax(-1)
    kind = torch.rand(n, generator=generator)
    between = torch.where(kind < 0.5, uniform(n, 0.9, 1.05, generator), uniform(n, 0.3, 0.9, generator))
    between = torch.where((kind > 0.8) | lying | roll_up, 0.0, between)
    small_print = torch.where(office & (kind > 0.95), uniform(n, 0.5, 0.85, generator), 1.0)
    across, down = uniform(n, -0.04, 0.04, generator), uniform(n, -0.09, 0.03, generator)
    down = torch.where(roll_up, uniform(n, -0.30, -0.18, generator), down)
    flat = 0.08 + 0.92 * torch.rand(n, 1, generator=generator)
    tint = (flat + 0.25 * torch.randn(n, 3, generator=generator)).clamp(0.03, 0.98)
    coloured = poster & (torch.rand(n, generator=generator) < 0.6)
    return Layout(
        sheet_mm=sheet,
        picture_mm=(short + between * (long - short)) * small_print,
        margin_mm=margin,
        offset_mm=sheet * torch.stack([across, down], -1),
        ground=torch.where(coloured[:, None], tint, 1.0),
        roll_up=roll_up,
    )
