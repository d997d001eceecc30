"""`spooflab preview`: a contact sheet of one face under every attack."""

import json as json_module
import sys
from pathlib import Path

import tyro


def preview(
    face: tyro.conf.Positional[str],
    /,
    *,
    out: Path,
    attacks: tuple[str, ...] = (),
    devices: tuple[str, ...] = ("front_phone",),
    columns: int = 4,
    rows_per_attack: int = 1,
    landmarks: Path | None = None,
    seed: int = 0,
    json: bool = False,
) -> int:
    """Render one face as bona fide and under each attack, with captions, into one PNG.

    Args:
        face: `procedural`, or a photograph.
        out: PNG file to write.
        attacks: species; all by default.
        devices: device profiles, used in turn.
        columns: tiles per row of the sheet.
        rows_per_attack: variants of each species.
        landmarks: sidecar file for the photograph (found by itself when it lies beside it as landmarks.csv).
        seed: root seed.
        json: print what was rendered as JSON.
    """
    from spooflab.generators.sheet import preview_sheet

    made = preview_sheet(
        face,
        out,
        attacks=attacks,
        devices=devices,
        columns=columns,
        variants=rows_per_attack,
        landmarks=landmarks,
        seed=seed,
    )
    if json:
        sys.stdout.write(json_module.dumps({"out": str(out), "tiles": made}) + "\n")
    else:
        sys.stderr.write(f"wrote {out}: {len(made)} tiles\n")
    return 0 if all(tile["reason"] == "" for tile in made) else 1
