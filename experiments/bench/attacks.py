"""Attacks per second: our filtered lattice against supersampling the same instrument with Kornia."""

import time
from typing import Any

import kornia
import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment import CaptureDevice, load_profile
from spooflab.experiments.bench.timing import paired
from spooflab.generators.catalogue import build_attack, known_attacks
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.seeds import generator
from spooflab.taxonomy import species_of

OUTPUT_PX = 256
SIZES = ((256, 256), (512, 384))
"""Sides in pixels of the sensor's window and of the face's picture: as asked, and twice that as the pipeline has it."""
SAMPLES_PER_SUBPIXEL = 3
PANEL_PX = 512
READS_GEOMETRY = frozenset(
    name
    for name in known_attacks()
    if species_of(name).family in ("makeup", "partial", "disguise") or name == "adversarial_patch"
)
"""Species for which what `read_geometry` makes of a face is kept; the others work it out for each image."""
DRAWS = 24  # enough that framing, process and hands average out


def attack_cases(threads: int) -> list[dict[str, Any]]:
    """Render every species to 256 px, one image at a time as the pipeline does, and once more at the pipeline's sizes.

    The pipeline lets a sensor of 512 px see a face of 384 px and reduces to 256 px, so that lattices alias as they do
    in a camera that scales its pictures. What is painted, inked or worn needs the head's geometry, which is read once
    for each face. Such species have two rows: a face that is new, so that every image reads it (and the donor's), and
    one that has been met before. On one thread processor time counts. Freed memory is kept where the command line said
    so, as the pipeline's workers do.

    The peer of the screens draws the panel's subpixels at 3 samples each, warps them with
    `kornia.geometry.warp_perspective` onto a grid of 3 x 3 samples per sensor pixel and averages: the same physics
    without bezel, reflection, content filtering or records.
    """
    return [row for sensor_px, face_px in SIZES for row in _cases(sensor_px, face_px, threads)]


def _cases(sensor_px: int, face_px: int, threads: int) -> list[dict[str, Any]]:
    source = ProceduralFaces(n_subjects=4, sessions=1, size=face_px, seed=2)
    refs = source.refs()
    face, donor = source.load(refs[0]), source.load(refs[1])
    device = CaptureDevice(load_profile("front_phone"))
    view = device.sample(1, generator(1, "bench"), size=(sensor_px, sensor_px)).view
    sizes = f"{sensor_px} px" if sensor_px == OUTPUT_PX else f"{sensor_px} px to {OUTPUT_PX}"
    rows = []
    for species in ("bonafide", *known_attacks()):
        attack = build_attack(species)
        draws = [attack.sample(1, generator(3, species, k)) for k in range(DRAWS)]
        cases = {"new face": True, "face met before": False} if species in READS_GEOMETRY else {"": False}
        for case, new in cases.items():

            def ours(attack: Any = attack, draws: Any = draws, new: bool = new) -> None:
                with torch.inference_mode():
                    for params in draws:
                        # A copy of a face is a face that nobody has read.
                        one, other = (face.replace(), donor.replace()) if new else (face, donor)
                        made = attack.render(one, view, params, other if attack.needs_donor else None)
                        _shrink(made.irradiance)

            screen = species.startswith("replay")
            rows.append(
                paired(
                    ", ".join(part for part in (species, sizes, case) if part),
                    ours,
                    items=len(draws),
                    peer_name="kornia.warp_perspective, 3 samples per subpixel" if screen else "",
                    peer=(lambda: _supersampled(face, sensor_px)) if screen else None,
                    peer_items=1,
                    rounds=3,
                    clock=time.process_time if threads == 1 else time.perf_counter,
                )
            )
    return rows


def _supersampled(face: Face, sensor_px: int) -> Tensor:
    with torch.inference_mode():
        content = F.interpolate(face.radiance, size=(PANEL_PX, PANEL_PX), mode="bilinear", antialias=True)
        fine = F.interpolate(content, scale_factor=3 * SAMPLES_PER_SUBPIXEL, mode="nearest")
        column = torch.arange(fine.shape[-1]) // SAMPLES_PER_SUBPIXEL % 3
        stripes = (column == torch.arange(3)[:, None]).float() * 3
        homography = torch.tensor([[[1.02, 0.03, -20.0], [0.01, 0.99, 10.0], [0.0, 1e-5, 1.0]]])
        side = sensor_px * 3
        seen = kornia.geometry.warp_perspective(fine * stripes[:, None, :], homography, (side, side))
        return _shrink(F.avg_pool2d(seen, 3))


def _shrink(image: Tensor) -> Tensor:
    if image.shape[-1] == OUTPUT_PX:
        return image
    return F.interpolate(image, size=(OUTPUT_PX, OUTPUT_PX), mode="bilinear", antialias=True)
