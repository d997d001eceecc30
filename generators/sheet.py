"""Contact sheets: captioned tiles of what the generators make, for people to look at."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from spooflab.augment import CaptureDevice, load_profile
from spooflab.errors import ConfigError, SkipSample
from spooflab.generators.catalogue import build_attack, known_attacks
from spooflab.generators.face import Face
from spooflab.generators.faces.folder import FolderFaces
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.lab import photograph
from spooflab.provenance import joined_source_type, source_type
from spooflab.seeds import generator
from spooflab.source_mark import mark_source

_CAPTION_PX = 22
_GAP_PX = 6
_PAPER = (250, 250, 248)
_INK = (25, 25, 25)
_FACE_PX = 384


def contact_sheet(tiles: Sequence[tuple[str, NDArray[np.uint8]]], *, columns: int) -> NDArray[np.uint8]:
    """Lay out (caption, (H, W, 3) uint8) tiles of one size in rows; returns (H', W', 3) uint8.

    Raises:
        ValueError: no tiles, or tiles of different sizes.
    """
    shapes = {tile.shape for _, tile in tiles}
    if len(shapes) != 1:
        raise ValueError(f"contact_sheet wants tiles of one size, seen {sorted(shapes)}")
    height, width, _ = shapes.pop()
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    step_x, step_y = width + _GAP_PX, height + _CAPTION_PX + _GAP_PX
    sheet = Image.new("RGB", (columns * step_x + _GAP_PX, rows * step_y + _GAP_PX), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for number, (caption, tile) in enumerate(tiles):
        x, y = _GAP_PX + number % columns * step_x, _GAP_PX + number // columns * step_y
        sheet.paste(Image.fromarray(tile), (x, y))
        draw.text((x + 2, y + height + 3), _fit(caption, font, width), fill=_INK, font=font)
    return np.asarray(sheet)


def preview_sheet(
    face: str,
    out: Path,
    *,
    attacks: Sequence[str],
    devices: Sequence[str],
    columns: int,
    variants: int,
    landmarks: Path | None,
    seed: int,
) -> list[dict[str, Any]]:
    """Write a PNG of one face, bona fide and attacked, marked as synthetic.

    Returns:
        A record per tile; `reason` where it was skipped.

    Raises:
        ConfigError: an unknown attack or device, or a photograph that is not there.
    """
    if columns < 1 or variants < 1 or not devices:
        raise ConfigError(
            f"preview: columns {columns}, variants {variants}, devices {list(devices)}", wanted="at least one of each"
        )
    target, donor = _faces(face, landmarks, seed)
    units = [CaptureDevice(load_profile(name)) for name in devices]
    species = [name for name in ("bonafide", *(attacks or known_attacks())) for _ in range(variants)]
    tiles: list[tuple[str, NDArray[np.uint8]]] = []
    records: list[dict[str, Any]] = []
    types: set[str] = set()
    torch.set_num_threads(1)
    for number, name in enumerate(species):
        attack, device = build_attack(name), units[number % len(units)]
        record = {"species": name, "device": device.device_id, "instrument": "", "reason": ""}
        try:
            picture = photograph(
                attack,
                target,
                donor if attack.needs_donor else None,
                attack.sample(1, generator(seed, "preview", name, number)),
                device.sample(1, generator(seed, "preview-device", number)),
                256,
            )
            record["instrument"] = picture.instrument_id
            rendered = target.synthetic and (donor.synthetic or not attack.needs_donor)
            types.add(source_type(rendered=rendered, learned=bool(picture.models)))
            tiles.append((" · ".join(filter(None, (name, picture.instrument_id))), picture.image))
        except SkipSample as skip:
            record["reason"] = skip.reason
            tiles.append((f"{name}: {skip.reason}", np.full((256, 256, 3), 200, np.uint8)))
        records.append(record)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet = io.BytesIO()
    Image.fromarray(contact_sheet(tiles, columns=columns)).save(sheet, format="PNG")
    out.write_bytes(mark_source(sheet.getvalue(), joined_source_type(types)))
    return records


def _faces(face: str, landmarks: Path | None, seed: int) -> tuple[Face, Face]:
    rendered = ProceduralFaces(n_subjects=8, sessions=2, size=_FACE_PX, seed=seed)
    refs = rendered.refs()
    other = next(ref for ref in refs if ref.subject_id != refs[0].subject_id)
    if face == "procedural":
        return rendered.load(refs[0]), rendered.load(other)
    path = Path(face)
    if not path.is_file():
        raise ConfigError(f"preview: {face} is not a file", wanted="`procedural` or a photograph")
    beside = path.parent / "landmarks.csv"
    sidecar = landmarks or (beside if beside.is_file() else None)
    photos = FolderFaces(path.parent, landmarks=sidecar, subjects="file", size=_FACE_PX, licence="unstated")
    wanted = next((ref for ref in photos.refs() if ref.record.get("path") == path.name), None)
    if wanted is None:
        raise ConfigError(
            f"preview: {face} is no photograph that can be listed", wanted="a JPEG, PNG, WebP or BMP file"
        )
    return photos.load(wanted), rendered.load(other)


def _fit(text: str, font: Any, width: int) -> str:
    while font.getlength(text) > width - 4 and len(text) > 1:
        text = text[:-2].rstrip("…") + "…"
    return text
