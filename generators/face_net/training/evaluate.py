"""Draw what the network reads: `python -m spooflab.generators.face_net.training.evaluate --out FOLDER --photos FOLDER`.

Each picture shows the 68 points (their colour says how sure), the classes, and the relief lit from the upper left.
Where the photographs have a sidecar, the five points' errors are printed in distances between the eyes.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from spooflab.augment.tone import srgb_encode
from spooflab.errors import SkipSample
from spooflab.generators.face_net.find import find_face, to_codes
from spooflab.generators.face_net.frame import Frame, crop, frame_of
from spooflab.generators.face_net.geometry import EYES_MM, normals_of
from spooflab.generators.face_net.predict import FaceNet, FaceReading
from spooflab.generators.faces.landmarks import FacePoints, five_of, pose_mean_head, read_landmarks
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.images import decode_image

COLOURS = np.array([
    [20, 20, 20], [232, 190, 160], [255, 140, 70], [210, 110, 170], [100, 60, 20], [50, 130, 255], [225, 40, 70],
    [250, 250, 250], [70, 40, 100], [130, 85, 50], [160, 205, 130], [90, 115, 150], [0, 235, 235],
], dtype=np.uint8)  # fmt: skip
"""Colour of each class of `PARSING`."""
_SIDE = 320

_Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Evaluation:
    """Draw and measure readings of photographs and of rendered people who were not trained on.

    Attributes:
        out: folder for the pictures.
        photos: folder of photographs, with `landmarks.csv` or without.
        weights: file of weights; the shipped one by default.
        people: how many rendered people to read.
        seed: root of their draws; training uses its own.
    """

    out: Path
    photos: Path | None = None
    weights: Path | None = None
    people: int = 8
    seed: int = 909


def overlay(picture: torch.Tensor, reading: FaceReading, side: int = _SIDE) -> _Picture:
    """Return (side, 3·side, 3): points, classes and relief of a reading over the picture (1, 3, H, W)."""
    frame = Frame(reading.frame.x, reading.frame.y, reading.frame.side)
    base = np.uint8(crop(picture, frame, side)[0].permute(1, 2, 0).numpy() * 255)
    dotted = Image.fromarray(base)
    pen = ImageDraw.Draw(dotted)
    for (x, y), spread in zip((frame.from_picture(reading.points) * side).tolist(), reading.spread, strict=True):
        doubt = min(float(spread) / reading.frame.side / 0.03, 1.0)
        colour = (int(255 * doubt), int(255 * (1 - 0.6 * doubt)), 40)
        pen.ellipse((x - 1.7, y - 1.7, x + 1.7, y + 1.7), fill=colour)
    chances, depth = reading.maps_on(frame, side)
    classes = chances.argmax(0).numpy()
    painted = np.uint8(0.4 * base + 0.6 * COLOURS[classes])
    eyes = float((reading.points[36:42].mean(0) - reading.points[42:48].mean(0)).norm()) * side / frame.side
    normal = normals_of(depth[None, None], torch.tensor([EYES_MM / eyes]))[0]
    lit = (normal * torch.tensor([-0.45, -0.5, -0.74])[:, None, None]).sum(0).clamp(0, 1).numpy()
    relief = np.uint8(np.where(classes == 0, 0.1, lit)[..., None].repeat(3, 2) * 255)
    return np.concatenate([np.asarray(dotted), painted, relief], 1)


def five_errors(points: torch.Tensor, truth: FacePoints) -> NDArray[np.float64]:
    """Return the (5,) distances of the five points to a sidecar's, in its distances between the eyes."""
    given = truth.points if len(truth.points) == 5 else five_of(truth.points)
    away = np.linalg.norm(five_of(points.double().numpy()) - given, axis=1)
    return np.asarray(away / np.hypot(*(given[1] - given[0])))


def _photographs(net: FaceNet, root: Path, out: Path) -> None:
    sidecar = root / "landmarks.csv"
    told = read_landmarks(sidecar) if sidecar.exists() else {}
    for path in sorted(p for p in root.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png")):
        pixels = decode_image(path.read_bytes())
        start = time.process_time()
        try:
            found = find_face(net, pixels)
        except SkipSample as skip:
            print(f"{path.name}: {skip.reason}: {skip.detail}")
            continue
        cost = time.process_time() - start
        line = f"{path.name}: {found.count} faces, presence {found.reading.presence:.2f}, {cost * 1e3:.0f} ms"
        if path.name in told:
            errors = five_errors(found.reading.points, told[path.name])
            line += ", five points off by " + " ".join(f"{e:.3f}" for e in errors)
        print(line)
        Image.fromarray(overlay(to_codes(pixels), found.reading)).save(out / f"photo_{path.stem}.png")


def _people(net: FaceNet, count: int, seed: int, out: Path) -> None:
    """Draw rendered people, and print how far network and mean head lie from the truth for the same five points."""
    source = ProceduralFaces(n_subjects=count, sessions=1, size=384, seed=seed)
    rows, net_errors, head_errors = [], [], []
    for ref in source.refs():
        face = source.load(ref)
        picture = srgb_encode(face.radiance.clamp(0, 1))
        truth = face.landmarks[0]
        five = face.landmarks5[0].double().numpy()
        rough = pose_mean_head(five)
        reading = net.refine(picture, frame_of(torch.from_numpy(rough).float()))
        eyes = float(np.hypot(*(five[1] - five[0])))
        net_errors.append((reading.points - truth).norm(dim=-1).numpy() / eyes)
        head_errors.append(np.linalg.norm(rough - truth.double().numpy(), axis=1) / eyes)
        rows.append(overlay(picture, reading, 224))
    for name, errors in (("network", net_errors), ("mean head", head_errors)):
        parts = {"jaw": slice(0, 17), "brows": slice(17, 27), "nose": slice(27, 36), "eyes": slice(36, 48)}
        shown = ", ".join(f"{k} {np.stack(errors)[:, v].mean():.3f}" for k, v in parts.items())
        mouth = np.stack(errors)[:, 48:].mean()
        print(f"{name}: {np.stack(errors).mean():.4f} of the eyes' distance ({shown}, mouth {mouth:.3f})")
    half = [np.concatenate(rows[k : k + 2], 1) for k in range(0, len(rows) - 1, 2)]
    Image.fromarray(np.concatenate(half)).save(out / "people.png")


def main(evaluation: Evaluation) -> None:
    """Draw and measure."""
    torch.set_num_threads(1)
    evaluation.out.mkdir(parents=True, exist_ok=True)
    net = FaceNet.load(evaluation.weights)
    with torch.inference_mode():
        if evaluation.photos is not None:
            _photographs(net, evaluation.photos, evaluation.out)
        if evaluation.people >= 2:
            _people(net, evaluation.people, evaluation.seed, evaluation.out)


if __name__ == "__main__":
    main(tyro.cli(Evaluation))
