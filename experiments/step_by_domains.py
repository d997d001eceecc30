"""How long to train, by cross-validation over the sources' own domains."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spooflab.errors import ConfigError, DataError

if TYPE_CHECKING:
    from spooflab.adapters import ImageSet, TrainConfig


def step_by_domains(
    config: "TrainConfig", train: "ImageSet", dev: "ImageSet", *, seed: int, out: Path, cache: Path | None = None
) -> tuple[int, list[dict[str, Any]]]:
    """Train once without each domain, and return the step that is best on the domain left out, in the mean.

    The figure is the configuration's `monitor` of the left-out domain's dev rows; ties go to the lower loss, then to
    the earlier step. An algorithm that adapts is given the left-out domain's training rows, unlabelled, as its target.

    Args:
        config: of the training whose length is wanted.
        train, dev: images of the sources; their `domains` are what is left out.
        seed: of the trainings.
        out: folder of the trainings, `without-D` each.
        cache: as `fit` takes it.

    Returns:
        The step, and the mean figures of every evaluation.

    Raises:
        ConfigError: a training that ends by another rule.
        DataError: one domain, or a domain whose rows lack a class.
    """
    from spooflab.adapters import ALGORITHMS, fit

    if config.averaging.kind == "swad" or config.patience is not None or config.monitor not in ("eer", "loss"):
        raise ConfigError(
            "selection leave_one_domain_out with averaging swad, patience or a monitor of target images",
            wanted="a training of fixed length, whose step is to be chosen",
        )
    names = np.unique(train.domains.numpy()).tolist()
    if len(names) < 2:
        raise DataError("one training domain: none is left without it", wanted="2 or more (train.domain_by)")
    adapts = ALGORITHMS[config.algorithm].setting == "adaptation"
    histories = []
    for name in names:
        judged = dev.subset(np.flatnonzero(dev.domains.numpy() == name).tolist())
        left = np.flatnonzero(train.domains.numpy() == name).tolist()
        sources = train.subset(np.flatnonzero(train.domains.numpy() != name).tolist())
        target = train.subset(left) if adapts else None
        folder = out / f"without-{name}"
        result = fit(config, train=sources, dev=judged, seed=seed, out=folder, target=target, cache=cache)
        histories.append({int(row["step"]): row for row in result.dev_history})
    steps = sorted(set.intersection(*(set(history) for history in histories)))
    means = [
        {"step": step, **{n: float(np.mean([h[step][n] for h in histories])) for n in ("eer", "loss")}}
        for step in steps
    ]
    best = min(means, key=lambda row: (row[config.monitor], row["loss"], row["step"]))
    return int(best["step"]), means
