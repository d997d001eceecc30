"""Faces per second of the procedural renderer."""

from typing import Any

import torch

from spooflab.experiments.bench.timing import paired
from spooflab.generators.faces.procedural import ProceduralFaces


def face_cases(threads: int) -> list[dict[str, Any]]:
    """Render single faces at 256 and 384 pixels; there is no peer that renders heads in PyTorch on a CPU."""
    rows = []
    for size in (256, 384):
        source = ProceduralFaces(n_subjects=8, sessions=1, size=size, seed=1)
        refs = source.refs()

        def render(source: ProceduralFaces = source, refs: Any = refs) -> None:
            with torch.inference_mode():
                for ref in refs:
                    source.load(ref)

        rows.append(paired(f"procedural {size} px", render, items=len(refs), rounds=5))
    return rows
