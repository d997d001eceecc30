"""Draw a run and gather its logs: `python -m spooflab.generators.diffusion.training.curves RUN OUT.png LOG.jsonl`."""

import json
import sys
from pathlib import Path
from typing import Any

_STAGES = {
    "vae": ("pixels", "edges"),
    "identity": ("contrast",),
    "denoiser": ("denoising",),
    "swap": ("denoising", "unlikeness"),
    "identity_judge": ("contrast",),
    "material": ("naming",),
}
_SMOOTH = 10
"""Entries that a drawn curve is the mean of."""


def main(run: Path, picture: Path, log: Path) -> None:
    """Write the losses of all stages of a run, as a figure and as one file of JSON lines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    logs = {stage: entries(run / stage / "log.jsonl") for stage in _STAGES}
    lines = [json.dumps({"stage": stage, **entry}) for stage, rows in logs.items() for entry in rows]
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    figure, axes = plt.subplots(1, len(_STAGES), figsize=(19, 3), layout="constrained")
    for axis, (stage, terms) in zip(axes, _STAGES.items(), strict=True):
        for term in terms:
            values = [row[term] for row in logs[stage]]
            mean = [sum(part) / len(part) for k in range(len(values)) if (part := values[max(0, k - _SMOOTH) : k + 1])]
            axis.plot([row["step"] for row in logs[stage]], mean, lw=0.9, label=term)
        axis.set(title=stage, xlabel="step", yscale="log")
        axis.legend(frameon=False)
    figure.savefig(picture, dpi=70)


def entries(path: Path) -> list[dict[str, Any]]:
    """Return a log's entries by step; of steps that were done again after a stop, the last."""
    if not path.exists():
        return []
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    by_step = {row["step"]: row for row in rows}
    return [by_step[step] for step in sorted(by_step)]


if __name__ == "__main__":
    main(*(Path(name) for name in sys.argv[1:]))
