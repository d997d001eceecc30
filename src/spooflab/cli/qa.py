"""`spooflab qa`: whether a data set is fit for use, with a report."""

import json as json_module
import sys
from pathlib import Path

import tyro


def qa(
    directory: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    cleanvision: bool = False,
    most_duplicates: int = 0,
    most_near: int = 0,
    most_rejects: float = 0.2,
    most_drift: float = 0.1,
    most_holes: int = 0,
    most_spoilt: float | None = None,
    most_warnings: int | None = None,
    json: bool = False,
) -> int:
    """Look for duplicates, rejects, imbalance, parameters that left their priors, and spoilt pictures.

    Writes qa.json, qa.md, qa.html and a contact sheet of the worst. Exits with 0 if nothing exceeds the limits, else
    with 1. A data set that is not finished is judged as far as it goes.

    Args:
        directory: folder of the data set.
        out: folder of the report.
        cleanvision: let cleanvision look at every picture, too; it needs the extra `qa`.
        most_duplicates: pictures that may equal an earlier one to the byte.
        most_near: pairs of near-duplicates of different people that may be there.
        most_rejects: share of a species that quality control may have refused.
        most_drift: Kolmogorov-Smirnov distance that a parameter may have from its prior.
        most_holes: empty tenths of parameters' ranges that may be there, where 20 samples or more were to be expected.
        most_spoilt: share of pictures with an issue of cleanvision; not judged by default.
        most_warnings: warnings of balance that may be there; not judged by default.
        json: print the report as JSON.
    """
    from spooflab.experiments.data_sets.qa.assess import assess
    from spooflab.experiments.data_sets.qa.limits import Limits
    from spooflab.experiments.data_sets.qa.report import write_report

    limits = Limits(most_duplicates, most_near, most_rejects, most_drift, most_holes, most_spoilt, most_warnings)
    found = assess(directory, limits, cleanvision=cleanvision)
    files = write_report(directory, found, out)
    if json:
        sys.stdout.write(json_module.dumps(found.to_json()) + "\n")
    for finding in found.findings:
        sys.stderr.write(f"{finding.code}: {finding.detail}\n")
    sys.stderr.write(f"{'passed' if found.passed else 'failed'}: {found.stats.rows} pictures; read {files[1]}\n")
    return 0 if found.passed else 1
