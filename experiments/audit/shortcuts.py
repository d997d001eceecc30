"""Figures that alone tell the class far better than chance: shortcuts, where they have no business with an attack."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spooflab.experiments.audit.covariates import Covariates
from spooflab.experiments.audit.finding import Finding, Kind, Severity
from spooflab.experiments.audit.predictive import Predictive, predictive
from spooflab.experiments.index_columns import column

FAR = 0.6
"""An interval of the area under the curve that lies above this is far better than chance."""
_WITHIN = ("file type", "face told by", "orientation")


def shortcut_findings(
    index: pa.Table, figures: Covariates, groups: NDArray[np.int64], strata: NDArray[np.int64]
) -> Iterator[Finding]:
    """Yield every figure that tells the class: encoding and provenance as errors, statistics of the pixels as notes.

    All intervals hold together with 95 % (Bonferroni over the figures).
    """
    from scipy.stats import norm

    attack = column(index, "label") == "attack"
    number = len(figures.encoding) + len(figures.categories) + len(figures.statistics)
    z = float(norm.ppf(1 - 0.025 / number))
    everywhere = np.zeros_like(strata)
    told: list[tuple[str, Severity, Predictive | None]] = []
    for name, values in sorted(figures.encoding.items()):
        told.append((name, "error", predictive(values, attack, strata, groups, z=z)))
    for name, codes in sorted(figures.categories.items()):
        inside = strata if name in _WITHIN else everywhere
        # Numbers of categories mean nothing: they are ordered by how often the category is an attack's.
        share = np.bincount(codes, attack) / np.maximum(np.bincount(codes), 1)
        told.append((name, "error", predictive(share[codes], attack, inside, groups, z=z)))
    for name, values in sorted(figures.statistics.items()):
        told.append((name, "note", predictive(values, attack, strata, groups, z=z)))
    if all(found is None for _, _, found in told):
        yield Finding("not told", "warning", "shortcuts: no device took both classes, or too few subject groups")
    for name, severity, found in told:
        if found is not None and found.low > FAR:
            kind: Kind = "shortcut" if severity == "error" else "statistic"
            where = "" if name in ("data set", "device") else " within devices"
            sentence = (
                f"{name} alone tells the class{where}: AUC {found.auc:.3f} "
                f"[{found.low:.3f}, {found.high:.3f}] on people that it was not fitted to"
            )
            measured = {"auc": found.auc, "low": found.low, "high": found.high}
            yield Finding(kind, severity, sentence, figures={k: round(v, 4) for k, v in measured.items()})
