"""Build `head.safetensors` from a folder of MakeHuman data.

Run as `python -m spooflab.generators.faces.procedural.extract DIR`.

MakeHuman's base mesh and targets are CC0-1.0 (its `LICENSE.md` stands beside them). DIR holds `3dobjs/base.obj` and
`targets/**/*.target[.gz]`. Only the head, neck and shoulders are taken, and the directions of change that
`shape.py` uses. This runs once, by hand; nothing at run time needs DIR.
"""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from spooflab.generators.faces.procedural.bake import open_sky
from spooflab.generators.faces.procedural.model import head_model
from spooflab.generators.faces.procedural.modes import DETAILS, EXPRESSIONS, MACROS, RACES

_BODY = 13380
_EYES = ((14598, 14670), (14670, 14742))
_TEETH = (14992, 15128)
_UNIT_UM = 2.0  # resolution of the stored displacements, micrometres


def main() -> None:
    """Read the folder named on the command line and write the asset beside this file."""
    root = Path(sys.argv[1])
    points, faces, groups = _read_obj(root / "3dobjs" / "base.obj")
    inside = (points[:, 1] > 440) & (np.abs(points[:, 0]) < 235)
    use = np.zeros(len(points), bool)
    use[:_BODY] = inside[:_BODY]
    use[_TEETH[0] : _TEETH[1]] = True
    body = (groups == "body") & use[faces].all(1)
    teeth = np.isin(groups, ["helper-upper-teeth", "helper-lower-teeth"])
    faces = faces[body | teeth]
    kept = np.unique(faces)
    number = np.full(len(points), -1)
    number[kept] = np.arange(len(kept))

    def take(values: np.ndarray) -> np.ndarray:
        """Append to the kept vertices two points per eye: its centre and one on its surface."""
        eyes = [row for a, b in _EYES for row in (values[a:b].mean(0), values[a])]
        return np.concatenate([values[kept], np.stack(eyes)])

    base = take(points)
    deltas = {name: take(_mode(root, parts, len(points))) for name, parts in _wanted().items()}
    anchor = base[[-4, -2]].mean(0)
    for name in MACROS:
        deltas[name] -= deltas[name][[-4, -2]].mean(0)
    base -= anchor
    index, packed, starts = [], [], [0]
    for name in deltas:
        rows = (np.abs(deltas[name]) > 0.02).any(1).nonzero()[0]
        index.append(rows)
        packed.append(np.round(deltas[name][rows] * 1000 / _UNIT_UM))
        starts.append(starts[-1] + len(rows))
    tensors = {
        "base_mm": torch.from_numpy(base.astype(np.float32)),
        "quads": torch.from_numpy(number[faces].astype(np.int16)),
        "teeth": torch.from_numpy(np.repeat([0, 1], [body.sum(), teeth.sum()]).astype(np.uint8)),
        "mode_start": torch.tensor(starts, dtype=torch.int32),
        "mode_vertex": torch.from_numpy(np.concatenate(index).astype(np.int16)),
        "mode_delta": torch.from_numpy(np.concatenate(packed).astype(np.int16)),
    }
    meta = {"modes": json.dumps(list(deltas)), "unit_um": str(_UNIT_UM), "licence": "CC0-1.0", "source": "MakeHuman"}
    path = Path(__file__).with_name("head.safetensors")
    # The model must load once to be looked at from all sides; then the file is written again with what was seen.
    save_file(tensors | {"open_sky": torch.zeros(1, dtype=torch.uint8)}, path, metadata=meta)
    tensors["open_sky"] = (open_sky(head_model()) * 255).round().to(torch.uint8)
    save_file(tensors, path, metadata=meta)


def _wanted() -> dict[str, list[tuple[str, float]]]:
    """Return the target files of each stored mode with their weights; left and right become one mode."""
    out: dict[str, list[tuple[str, float]]] = {name: [(f"macrodetails/{name}", 1.0)] for name in MACROS}
    for name in DETAILS:
        folder, _, stem = name.partition("/")
        sides = ("l-", "r-") if folder in {"eyes", "cheek", "ears"} else ("",)
        out[name] = [(f"{folder}/{side}{stem}", 1.0) for side in sides]
    for name in EXPRESSIONS:
        for race in RACES:
            sides = ("left-", "right-") if "*" in name else ("",)
            stems = [name.replace("*-", side) for side in sides]
            out[f"{name}/{race}"] = [(f"expression/units/{race}/{stem}", 1.0) for stem in stems]
        if not name.startswith("eye-"):
            parts = [part for race in RACES for part in out.pop(f"{name}/{race}")]
            out[name] = [(path, 1 / len(RACES)) for path, _ in parts]
    return out


def _mode(root: Path, parts: list[tuple[str, float]], count: int) -> np.ndarray:
    total = np.zeros((count, 3))
    for path, weight in parts:
        total += weight * _read_target(root / "targets" / f"{path}.target", count)
    return total


def _read_target(path: Path, count: int) -> np.ndarray:
    """Return (count, 3) displacements in millimetres; the files hold decimetres."""
    zipped = path.with_name(path.name + ".gz")
    text = gzip.decompress(zipped.read_bytes()).decode() if zipped.exists() else path.read_text()
    out = np.zeros((count, 3))
    for line in text.splitlines():
        if line and not line.startswith("#"):
            number, *delta = line.split()
            out[int(number)] = [100 * float(d) for d in delta]
    return out


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points in millimetres, quads, and the group of each quad."""
    points, faces, groups, group = [], [], [], ""
    for line in path.read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            points.append([100 * float(value) for value in rest[:3]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            faces.append([int(corner.split("/")[0]) - 1 for corner in rest])
            groups.append(group)
    return np.array(points), np.array(faces), np.array(groups)


if __name__ == "__main__":
    main()
