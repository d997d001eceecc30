"""Screens per second on a CUDA device: rendered where the batch lies, against supersampling them with Kornia there."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import kornia
import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment import CaptureDevice, load_profile
from spooflab.augment.tone import srgb_encode
from spooflab.experiments.bench.timing import paired
from spooflab.generators.attack import Attack
from spooflab.generators.catalogue import build_attack
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.spoof_augment import SpoofAugment
from spooflab.seeds import generator

SPECIES = ("replay_phone", "replay_monitor")
BATCHES = (32, 256)
OUTPUT_PX = 224
SENSOR_PX = 448
AT_ONCE = 64
"""Rows that ours computes together; more would want more memory than small devices have."""
SAMPLES_PER_SUBPIXEL = 3
PANEL_PX = 512
_PEER_AT_ONCE = 4  # the peer's panel alone takes 255 MB a picture
_WARM_UP = 2
_FLOAT = 4
_COPY_BYTES = 1 << 28


def why_not() -> str | None:
    """Return why nothing can be measured here, or None where a CUDA device can be used."""
    if torch.version.cuda is None:
        return "this PyTorch was built without CUDA"
    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA device here"
    return None


def gpu_cases(threads: int) -> list[dict[str, Any]]:
    """Measure on the current CUDA device; no rows where there is none (see `why_not`).

    For each species and batch: `render` is `Replay.render` at a 448 px sensor, reduced to 224 px, against the peer;
    `augment` is `SpoofAugment` at share 1 with its cameras, whose noise and JPEG the host makes.
    """
    if why_not() is not None:
        return []
    device = torch.device("cuda", torch.cuda.current_device())
    return device_cases(device)


def device_cases(
    device: torch.device,
    *,
    batches: tuple[int, ...] = BATCHES,
    sensor_px: int = SENSOR_PX,
    output_px: int = OUTPUT_PX,
    copy_bytes: int = _COPY_BYTES,
) -> list[dict[str, Any]]:
    """Return a row for each species, batch and kind of work, measured on `device`.

    Beside the rates a row holds `device`, `copy_gb_per_s` (bytes read and written by a plain copy there) and
    `bandwidth_share`: the bytes that the case must move at least, over its time, as a share of that.

    The peer draws the panel's subpixels at 3 samples each, warps them with `kornia.geometry.warp_perspective` onto a
    grid of 3 x 3 samples per sensor pixel and averages, as in the suite `attacks`: the same lattice without bezel,
    room, hand, reflection, content filtering or records.
    """
    copied = copy_bytes_per_s(device, copy_bytes)
    rows = []
    for species in SPECIES:
        attack = build_attack(species)
        augment = SpoofAugment([species], share=1.0, at_once=AT_ONCE, sensor_px=sensor_px)
        for batch in batches:
            face = _faces(batch, output_px, device)
            images = srgb_encode(face.radiance.clamp(0, 1))
            work = {
                "render": _rendering(attack, face, sensor_px, output_px),
                "augment": _augmenting(augment, images, face.landmarks),
            }
            for kind, ours in work.items():
                against: dict[str, Any] = {}
                if kind == "render":
                    name = f"kornia.warp_perspective, {SAMPLES_PER_SUBPIXEL} samples per subpixel"
                    against = {"peer_name": name, "peer": _supersampling(face.radiance, sensor_px, output_px)}
                for _ in range(_WARM_UP):
                    ours()
                row: dict[str, Any] = paired(
                    f"{species} {kind} B={batch} {output_px} px", ours, items=batch, rounds=5, **against
                )
                least = least_bytes(output_px, sensor_px, output_px)
                row |= {"device": _name(device), "copy_gb_per_s": copied / 1e9}
                row["bandwidth_share"] = row["ours_per_s"] * least / copied if kind == "render" else None
                rows.append(row)
    return rows


def least_bytes(face_px: int, sensor_px: int, output_px: int) -> int:
    """Return the bytes that one picture must move: read the face, write light, mask and depth, read light, reduce it.

    Every intermediate is left out, so the share of bandwidth that follows is a lower bound.
    """
    face, sensor, output = (3 * side * side * _FLOAT for side in (face_px, sensor_px, output_px))
    return face + 2 * sensor + 2 * sensor_px * sensor_px * _FLOAT + output


def copy_bytes_per_s(device: torch.device, size: int = _COPY_BYTES) -> float:
    """Return how many bytes a second a copy within the device's memory reads and writes, the median of 9 copies."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    taken = []
    for _ in range(9):
        _wait(device)
        start = time.perf_counter()
        target.copy_(source)
        _wait(device)
        taken.append(time.perf_counter() - start)
    return 2 * size / statistics.median(taken)


def _rendering(attack: Attack, face: Face, sensor_px: int, output_px: int) -> Callable[[], None]:
    """Return a call that renders the batch, some rows at a time, with parameters drawn before, and waits for it."""
    camera = CaptureDevice(load_profile("front_phone"))
    parts = []
    for first in range(0, face.batch_size, AT_ONCE):
        rows = slice(first, first + AT_ONCE)
        part = face.replace(
            radiance=face.radiance[rows],
            landmarks=face.landmarks[rows],
            box=face.box[rows],
            subject_id=face.subject_id[rows],
            source_id=face.source_id[rows],
        )
        view = camera.sample(part.batch_size, generator(1, "bench", first), size=(sensor_px, sensor_px)).view
        parts.append((part, view, attack.sample(part.batch_size, generator(3, "bench", first))))

    def run() -> None:
        with torch.inference_mode():
            for part, view, params in parts:
                _shrink(attack.render(part, view, params).irradiance, output_px)
        _wait(face.radiance.device)

    return run


def _augmenting(augment: SpoofAugment, images: Tensor, landmarks: Tensor) -> Callable[[], None]:
    counter = iter(range(10**9))

    def run() -> None:
        augment(images, generator=generator(5, "bench", next(counter)), landmarks=landmarks)
        _wait(images.device)

    return run


def _supersampling(radiance: Tensor, sensor_px: int, output_px: int) -> Callable[[], None]:
    def run() -> None:
        with torch.inference_mode():
            for part in torch.split(radiance, _PEER_AT_ONCE):
                _supersampled(part, sensor_px, output_px)
        _wait(radiance.device)

    return run


def _supersampled(radiance: Tensor, sensor_px: int, output_px: int) -> Tensor:
    device = radiance.device
    content = F.interpolate(radiance, size=(PANEL_PX, PANEL_PX), mode="bilinear", antialias=True)
    fine = F.interpolate(content, scale_factor=3 * SAMPLES_PER_SUBPIXEL, mode="nearest")
    column = torch.arange(fine.shape[-1], device=device) // SAMPLES_PER_SUBPIXEL % 3
    stripes = (column == torch.arange(3, device=device)[:, None]).float() * 3
    homography = torch.tensor([[[1.02, 0.03, -20.0], [0.01, 0.99, 10.0], [0.0, 1e-5, 1.0]]], device=device)
    side = sensor_px * 3
    warped = homography.expand(len(radiance), -1, -1)
    seen = kornia.geometry.warp_perspective(fine * stripes[:, None, :], warped, (side, side))
    return _shrink(F.avg_pool2d(seen, 3), output_px)


def _faces(batch: int, side: int, device: torch.device) -> Face:
    """Return a batch of few different faces, repeated."""
    source = ProceduralFaces(n_subjects=4, sessions=1, size=side, seed=2)
    few = Face.stack([source.load(ref) for ref in source.refs()])
    index = [k % few.batch_size for k in range(batch)]
    return Face(
        radiance=few.radiance[index].to(device),
        landmarks=few.landmarks[index].to(device),
        box=few.box[index].to(device),
        subject_id=tuple(few.subject_id[k] for k in index),
        source_id=tuple(few.source_id[k] for k in index),
    )


def _shrink(image: Tensor, side: int) -> Tensor:
    return F.interpolate(image, size=(side, side), mode="bilinear", antialias=True)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
