"""What is drawn for one shown print: the photograph, the printer's state, the sheet and how it is held, the room."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spooflab.generators.attacks.prints.creases import Creases, sample_creases
from spooflab.generators.attacks.prints.lamp import Lamp, sample_lamp
from spooflab.generators.attacks.prints.layout import lay_out
from spooflab.generators.attacks.prints.mount import MOUNTS, Mount, sample_mount
from spooflab.generators.attacks.prints.process import Printing, sample_printing
from spooflab.generators.instruments.paper import Paper
from spooflab.generators.instruments.paper_bend import SHAPES, Bend, sample_bend
from spooflab.generators.scene import HAND_STYLES, Scene, SceneParams
from spooflab.params import Params, log_uniform, uniform

PRINT_EFFECTS = (
    "gamut",
    "black_lift",
    "drift",
    "banding",
    "misregistration",
    "halftone",
    "paper_white",
    "fibre",
    "gloss",
    "glare",
    "shading",
    "bend",
    "creases",
    "border",
    "hand",
)
"""Effects that every shown print can switch off: ideal colours instead of the inks' gamut; black as black; a printer
that does not drift, band, mottle or misplace inks; no dots; neutral white paper; no fibres; no mirrored light at all,
or none of the lamp's; even light; a flat sheet; a sheet never folded or crumpled; nothing of the sheet around the
photograph; neither hands nor tape, pins, clips, ledges."""
FILMS = ("none", "laminated", "sleeve")
"""What lies over the paper, by value: nothing, a film that sticks to it, a loose transparent sleeve."""


@dataclass(frozen=True)
class PrintParams(Params):
    """One print before the camera; every field is batched.

    Attributes:
        printing: the photograph's way through the printer.
        sheet_mm: (B, 2) width and height of the sheet.
        picture_mm: (B,) printed width of the whole photograph before the sheet's margins crop it.
        margin_mm: (B,) unprinted border, 0 for borderless.
        offset_mm: (B, 2) place of the face's centre relative to the sheet's.
        ground: (B, 3) sRGB-encoded colour printed around the photograph, 1 for none.
        bend: shape of the sheet.
        waves: (B,) root mean square slope of the sheet's small waves.
        creases: its folds and crumples.
        film: (B,) int64 index into `FILMS`.
        film_roughness: (B,) GGX roughness of that film.
        lamp: the lamp that it mirrors.
        mount: what holds it where no hand does.
        ultraviolet: (B,) share of daylight's ultraviolet in the room's light.
        share: (B,) width of the face relative to the frame.
        reach_mm: (B,) greatest distance to the camera.
        yaw_deg, pitch_deg, roll_deg: (B,) how the sheet is turned.
        aim: (B, 2) where the face's centre falls, relative to the frame's, in frame widths and heights.
        scene: the room.
        ablated: (B,) int64 bits of the effects that are off.
    """

    printing: Printing
    sheet_mm: Tensor
    picture_mm: Tensor
    margin_mm: Tensor
    offset_mm: Tensor
    ground: Tensor
    bend: Bend
    waves: Tensor
    creases: Creases
    film: Tensor
    film_roughness: Tensor
    lamp: Lamp
    mount: Mount
    ultraviolet: Tensor
    share: Tensor
    reach_mm: Tensor
    yaw_deg: Tensor
    pitch_deg: Tensor
    roll_deg: Tensor
    aim: Tensor
    scene: SceneParams
    ablated: Tensor


def sample_print(
    papers: Sequence[Paper], scene: Scene, batch_size: int, generator: torch.Generator, *, ablated: Tensor,
    max_tilt_deg: float = 25.0, worn: bool = False,
) -> PrintParams:  # fmt: skip
    """Draw prints from the given papers.

    Args:
        papers: instruments to choose from, in proportion to their weights.
        scene: draws the room.
        batch_size: how many.
        generator: the only source of randomness.
        ablated: (B,) bits to keep.
        max_tilt_deg: greatest yaw and pitch.
        worn: held before a face, so never on a wall or a stand.
    """
    n = batch_size
    printing, chosen = sample_printing(papers, n, generator)
    photo, poster = (torch.tensor([paper.use == use for paper in chosen]) for use in ("photo", "poster"))
    thin = torch.tensor([paper.surface.folds for paper in chosen])
    layout = lay_out(chosen, generator)
    room = scene.sample(n, generator)
    on_wall = torch.where(poster, 0.6, torch.where(photo, 0.05, 0.10))
    on_stand = torch.where(poster, 0.1, 0.15)
    free = 0.0 if worn else 1.0
    mount = sample_mount(torch.where(layout.roll_up, 0.0, on_wall) * free,
                         torch.where(layout.roll_up, 1.0, on_stand) * free, generator)  # fmt: skip
    held = mount.kind == MOUNTS.index("hand")
    two = poster & (torch.rand(n, generator=generator) < 0.8)
    style = torch.where(two, HAND_STYLES.index("two_hands"), room.hand_style)
    least, most = torch.where(photo, 9.0, 12.0), torch.where(photo, 18.0, 30.0)  # thumbs keep off the face
    reach_over = least + (most - least) * (room.hand_reach_mm - 14) / 18
    room = replace(room, hand_style=torch.where(held, style, 0), hand_reach_mm=reach_over)
    film = torch.rand(n, generator=generator)
    film = torch.where(poster, 0, torch.where(film < 0.04, 1, torch.where(film < torch.where(photo, 0.07, 0.12), 2, 0)))
    zoomed_out = torch.rand(n, generator=generator) < 0.25
    reach = torch.where(photo, uniform(n, 220, 450, generator), uniform(n, 350, 700, generator))
    reach = torch.where(poster, log_uniform(n, 500, 2000, generator), reach)
    steep = torch.where(mount.kind == MOUNTS.index("wall"), 1.2, 1.0)  # a wall is not turned towards the camera
    return PrintParams(
        printing=printing,
        sheet_mm=layout.sheet_mm,
        picture_mm=layout.picture_mm,
        margin_mm=layout.margin_mm,
        offset_mm=layout.offset_mm,
        ground=layout.ground,
        bend=_shape(sample_bend(layout.sheet_mm, generator), mount, layout.roll_up, generator),
        waves=log_uniform(n, 0.004, 0.03, generator),
        creases=sample_creases(
            torch.where(poster, 0.5, torch.where(photo, 0.02, 0.16)) * thin * ~layout.roll_up,
            torch.where(poster, 0.08, torch.where(photo, 0.02, 0.13)) * thin,
            layout.sheet_mm,
            generator,
        ),
        film=film,
        film_roughness=torch.where(film == 1, uniform(n, 0.03, 0.09, generator), uniform(n, 0.05, 0.14, generator)),
        lamp=sample_lamp(n, generator),
        mount=mount,
        ultraviolet=torch.where(room.outdoor, uniform(n, 0.6, 1.2, generator), uniform(n, 0.0, 0.4, generator)),
        share=torch.where(zoomed_out, uniform(n, 0.32, 0.5, generator), uniform(n, 0.5, 0.66, generator)),
        reach_mm=reach,
        yaw_deg=_tilt(steep, max_tilt_deg, generator),
        pitch_deg=(_tilt(steep, max_tilt_deg, generator) - 4).clamp(-max_tilt_deg, max_tilt_deg),
        roll_deg=(4 * torch.randn(n, generator=generator)).clamp(-15, 15),
        aim=torch.stack([uniform(n, -0.06, 0.06, generator), uniform(n, -0.05, 0.07, generator)], -1),
        scene=room,
        ablated=ablated,
    )


def _tilt(steep: Tensor, most: float, generator: torch.Generator) -> Tensor:
    return (0.4 * most * steep * torch.randn(steep.shape[0], generator=generator)).clamp(-most, most)


def _shape(bend: Bend, mount: Mount, roll_up: Tensor, generator: torch.Generator) -> Bend:
    """Return the bends that a support allows: a wall holds the middle flat, so only corners and ends curl."""
    n = roll_up.shape[0]
    hung = mount.kind == MOUNTS.index("wall")
    curls = (bend.shape == SHAPES.index("corner")) | (bend.shape == SHAPES.index("curl"))
    flat = (hung & ~(curls & (torch.rand(n, generator=generator) < 0.7))) | roll_up
    gentle = torch.where(hung, 0.5, 1.0)[:, None]
    towards = torch.where(hung[:, None], -bend.curvature_per_mm.abs(), bend.curvature_per_mm)  # a wall is in the way
    return replace(
        bend,
        shape=torch.where(flat, 0, bend.shape),
        curvature_per_mm=towards * gentle * ~flat[:, None],
    )
