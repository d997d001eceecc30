"""Draw the curves of training logs: `python -m spooflab.generators.face_net.training.curves OUT.png LOG.jsonl …`."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

_TERMS = ("points", "parsing", "depth", "place")
_ERRORS = (("nme_median", "landmarks (of the eyes)"), ("iou", "classes, mean IoU"),
           ("depth_mm", "depth on the face (mm)"), ("turn_deg", "direction (degrees)"))  # fmt: skip


def main(out: Path, logs: list[Path]) -> None:
    """Draw losses above and errors on held-out people below, one run after the other."""
    rows, start = [], 0
    for log in logs:
        entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        rows += [{**entry, "step": entry["step"] + start} for entry in entries]
        start = rows[-1]["step"]
    figure, axes = plt.subplots(2, 4, figsize=(14, 6), layout="constrained")
    for axis, term in zip(axes[0], _TERMS, strict=True):
        points = [(row["step"], row["loss"][term]) for row in rows if "loss" in row]
        axis.plot(*zip(*points, strict=True), lw=0.7)
        axis.set(title=f"loss: {term}")
    for axis, (name, title) in zip(axes[1], _ERRORS, strict=True):
        points = [(row["step"], row["held_out"][name]) for row in rows if "held_out" in row]
        axis.plot(*zip(*points, strict=True), marker="o", ms=3)
        axis.set(title=f"held out: {title}", xlabel="step")
        axis.set_ylim(bottom=0)
    figure.savefig(out, dpi=70)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
