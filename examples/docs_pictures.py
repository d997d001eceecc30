"""Render the pictures that README.md and docs/ show.

Usage: python examples/docs_pictures.py OUT_FOLDER [faces|devices|stages|species|baseline_spectra|FAMILY ...]
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from spooflab.augment import CaptureDevice, list_profiles, load_profile
from spooflab.generators.bonafide import Bonafide
from spooflab.generators.catalogue import build_attack, known_attacks
from spooflab.generators.face import Face
from spooflab.generators.faces.folder import FolderFaces
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.lab import photograph
from spooflab.generators.sheet import contact_sheet
from spooflab.seeds import generator
from spooflab.taxonomy import species_of

Tile = tuple[str, NDArray[np.uint8]]
JPEG_QUALITY = 88


def main(out: Path, only: Sequence[str]) -> None:
    """Write faces.jpg, sessions.jpg, devices.jpg, species.jpg, and one sheet per family of attacks."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    rendered = ProceduralFaces(n_subjects=64, sessions=4, size=384, seed=7)
    refs = rendered.refs()
    by_subject = [ref for ref in refs if ref.record["session"] == 0]
    people = [rendered.load(ref) for ref in by_subject[:8]]
    photo = portrait()
    if wanted(only, "faces"):
        write(out / "faces.jpg", [tile(rendered.load(ref), 128, ref.subject_id) for ref in by_subject[:32]], 8)
        write(out / "sessions.jpg", [tile(rendered.load(ref), 192, ref.source_id) for ref in refs[:8]], 4)
    if wanted(only, "devices"):
        cameras = [camera(people[1], name, unit) for name in list_profiles() for unit in range(2)]
        write(out / "devices.jpg", cameras, 4)
    if wanted(only, "stages"):
        import docs_stages

        docs_stages.main(out / "stages.jpg")
    if wanted(only, "baseline_spectra"):
        import docs_spectra

        docs_spectra.main(out / "baseline_spectra.png")
    families: dict[str, list[str]] = {}
    for name in known_attacks():
        families.setdefault("chain" if "+" in name else species_of(name).family, []).append(name)
    if wanted(only, "species"):
        shown = ["bonafide", *(name for names in families.values() for name in names)]
        write(
            out / "species.jpg", [shoot(n, (*people[:4], photo)[k % 5], people[5], k) for k, n in enumerate(shown)], 8
        )
    for family, names in families.items():
        if wanted(only, family):
            rows = [
                shoot(name, face, people[4 + k % 4], 10 + k, 208) for name in names for k, face in four(people, photo)
            ]
            write(out / f"attacks_{family}.jpg", rows, 4)


def wanted(only: Sequence[str], name: str) -> bool:
    """Whether a sheet was asked for; all are where none was named."""
    return not only or name in only


def four(people: Sequence[Face], photo: Face) -> list[tuple[int, Face]]:
    """Return the faces of one row of a family's sheet: two rendered ones and the photograph twice."""
    return [(0, people[0]), (1, people[2]), (2, photo), (3, photo)]


def portrait() -> Face:
    """Return the photograph that scikit-image ships, laid out by examples/portraits.py."""
    import portraits

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        portraits.main(folder, None)
        photos = FolderFaces(
            folder, landmarks=folder / "landmarks.csv", subjects="file", size=384, licence="public domain (NASA)"
        )
        return photos.load(photos.refs()[0])


def shoot(species: str, face: Face, donor: Face, number: int, side: int = 160) -> Tile:
    """Photograph one attack with a drawn device."""
    attack = build_attack(species)
    names = [name for name in list_profiles() if name != "ideal"]
    device = CaptureDevice(load_profile(names[number % len(names)]), unit=number % 3)
    picture = photograph(
        attack,
        face,
        donor if attack.needs_donor else None,
        attack.sample(1, generator(77, species, number)),
        device.sample(1, generator(77, "device", species, number)),
        side,
    )
    return species, picture.image


def camera(face: Face, profile: str, unit: int) -> Tile:
    """Photograph a live face with one unit of a profile."""
    device, attack = CaptureDevice(load_profile(profile), unit=unit), Bonafide()
    draws = attack.sample(1, generator(5, "camera")), device.sample(1, generator(5, "camera", profile, unit))
    return device.device_id, photograph(attack, face, None, *draws, 224).image


def tile(face: Face, side: int, caption: str) -> Tile:
    """Show radiance as sRGB, without a camera."""
    small = torch.nn.functional.interpolate(face.radiance, (side, side), mode="bilinear", antialias=True)
    linear = small[0].clamp(0, 1)
    srgb = torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return caption, (srgb * 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def write(path: Path, tiles: list[Tile], columns: int) -> None:
    """Write a contact sheet."""
    Image.fromarray(contact_sheet(tiles, columns=columns)).save(path, quality=JPEG_QUALITY)
    sys.stderr.write(f"wrote {path}\n")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.path.insert(0, str(Path(__file__).parent))
    main(Path(sys.argv[1]), sys.argv[2:])
