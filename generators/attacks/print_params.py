"""What is drawn for one shown print: the photograph, the printer's state, the sheet and how it is held, the room."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.instruments.paper import Paper
from spooflab.generators.instruments.paper_bend import Bend, sample_bend
from spooflab.generators.scene import Scene, SceneParams
from spooflab.params import Params, choice, log_uniform, uniform

A4_MM = (210.0, 297.0)
PHOTO_MM = ((102.0, 152.0), (127.0, 178.0))
"""10 x 15 cm and 13 x 18 cm prints."""


@dataclass(frozen=True)
class PrintParams(Params):
    """One print before the camera; every field is batched.

    Attributes:
        paper: (B,) int64 `Paper.number` of the instrument.
        face_level: (B,) mean luminance of the face in the printed photograph.
        quality: (B,) int64 JPEG quality of the photograph.
        tone_drift: (B, 4) change of the mechanical dot gain since the printer was characterised, each ink.
        density_drift: (B, 4) relative change of the ink laid down.
        misregistration_mm: (B, 4, 2) displacement of each ink plane.
        screen_phase: (B, 4, 2) cycles.
        screen_turn_deg: (B,) turn of all screens on the sheet (skewed feed).
        screen_scale: (B,) lpi relative to the nominal.
        fibre_shift: (B, 2) where the fibre tile begins, 0-1.
        seed: (B,) int64, names banding, mottle and the sheet's waves.
        sheet_mm: (B, 2) width and height of the sheet.
        picture_mm: (B,) printed width of the whole photograph before the sheet's margins crop it.
        margin_mm: (B,) unprinted border, 0 for borderless.
        offset_mm: (B, 2) place of the face's centre relative to the sheet's.
        bend: shape of the sheet.
        waves: (B,) root mean square slope of the sheet's small waves.
        ultraviolet: (B,) share of daylight's ultraviolet in the room's light.
        share: (B,) width of the face relative to the frame.
        reach_mm: (B,) greatest distance to the camera.
        yaw_deg, pitch_deg, roll_deg: (B,) how the sheet is turned.
        aim: (B, 2) where the face's centre falls, relative to the frame's, in frame widths and heights.
        scene: the room.
    """

    paper: Tensor
    face_level: Tensor
    quality: Tensor
    tone_drift: Tensor
    density_drift: Tensor
    misregistration_mm: Tensor
    screen_phase: Tensor
    screen_turn_deg: Tensor
    screen_scale: Tensor
    fibre_shift: Tensor
    seed: Tensor
    sheet_mm: Tensor
    picture_mm: Tensor
    margin_mm: Tensor
    offset_mm: Tensor
    bend: Bend
    waves: Tensor
    ultraviolet: Tensor
    share: Tensor
    reach_mm: Tensor
    yaw_deg: Tensor
    pitch_deg: Tensor
    roll_deg: Tensor
    aim: Tensor
    scene: SceneParams


def sample_print(
    papers: Sequence[Paper], scene: Scene, batch_size: int, generator: torch.Generator, *, max_tilt_deg: float = 25.0
) -> PrintParams:
    """Draw prints from the given papers.

    Args:
        papers: instruments to choose from, equally likely.
        scene: draws the room.
        batch_size: how many.
        generator: the only source of randomness.
        max_tilt_deg: greatest yaw and pitch.
    """
    n = batch_size
    which = choice(n, len(papers), generator)
    photo = torch.tensor([paper.use == "photo" for paper in papers])[which]
    sheet, picture, margin = _layout(photo, generator)
    room = scene.sample(n, generator)
    misregistration = torch.tensor([paper.faults.misregistration_um / 1000 for paper in papers])[which]
    zoomed_out = torch.rand(n, generator=generator) < 0.25
    return PrintParams(
        paper=torch.tensor([paper.number for paper in papers])[which],
        face_level=uniform(n, 0.2, 0.4, generator),
        quality=torch.randint(70, 97, (n,), generator=generator),
        tone_drift=0.025 * torch.randn(n, 4, generator=generator) + 0.03 * torch.randn(n, 1, generator=generator),
        density_drift=0.05 * torch.randn(n, 4, generator=generator),
        misregistration_mm=misregistration[:, None, None] * torch.randn(n, 4, 2, generator=generator),
        screen_phase=torch.rand(n, 4, 2, generator=generator),
        screen_turn_deg=0.4 * torch.randn(n, generator=generator),
        screen_scale=1 + 0.005 * torch.randn(n, generator=generator),
        fibre_shift=torch.rand(n, 2, generator=generator),
        seed=torch.randint(0, 2**62, (n,), generator=generator),
        sheet_mm=sheet,
        picture_mm=picture,
        margin_mm=margin,
        offset_mm=sheet * torch.stack([uniform(n, -0.04, 0.04, generator), uniform(n, -0.09, 0.03, generator)], -1),
        bend=sample_bend(sheet, generator),
        waves=log_uniform(n, 0.004, 0.03, generator),
        ultraviolet=torch.where(room.outdoor, uniform(n, 0.6, 1.2, generator), uniform(n, 0.0, 0.4, generator)),
        share=torch.where(zoomed_out, uniform(n, 0.32, 0.5, generator), uniform(n, 0.5, 0.66, generator)),
        reach_mm=torch.where(photo, uniform(n, 220, 450, generator), uniform(n, 350, 700, generator)),
        yaw_deg=_tilt(n, max_tilt_deg, generator),
        pitch_deg=(_tilt(n, max_tilt_deg, generator) - 4).clamp(-max_tilt_deg, max_tilt_deg),
        roll_deg=(4 * torch.randn(n, generator=generator)).clamp(-15, 15),
        aim=torch.stack([uniform(n, -0.06, 0.06, generator), uniform(n, -0.05, 0.07, generator)], -1),
        scene=room,
    )


def _tilt(n: int, most: float, generator: torch.Generator) -> Tensor:
    return (0.4 * most * torch.randn(n, generator=generator)).clamp(-most, most)


def _layout(photo: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw sheet sizes, the printed width of the photograph and the margin.

    The photograph is square: it fills the sheet's height (its sides are cropped), its width (paper stays white above
    and below), something between, or, on A4, less.
    """
    n = photo.shape[0]
    small = torch.tensor(PHOTO_MM)[choice(n, len(PHOTO_MM), generator)]
    lying = torch.rand(n, generator=generator) < 0.1
    office = torch.where(lying[:, None], torch.tensor(A4_MM).flip(0), torch.tensor(A4_MM))
    sheet = torch.where(photo[:, None], small, office)
    borderless = torch.rand(n, generator=generator) < torch.where(photo, 0.6, 0.15)
    margin = torch.where(borderless, 0.0, torch.where(photo, uniform(n, 3, 6, generator), uniform(n, 4, 14, generator)))
    inner = sheet - 2 * margin[:, None]
    short, long = inner.amin(-1), inner.amax(-1)
    kind = torch.rand(n, generator=generator)
    between = torch.where(kind < 0.5, uniform(n, 0.9, 1.05, generator), uniform(n, 0.3, 0.9, generator))
    between = torch.where((kind > 0.8) | (lying & ~photo), 0.0, between)
    small_print = torch.where(~photo & (kind > 0.9), uniform(n, 0.4, 0.8, generator), 1.0)
    return sheet, (short + between * (long - short)) * small_print, margin
