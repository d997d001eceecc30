"""`spooflab fit-device`: a device profile from a folder of photographs."""

import json as json_module
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from spooflab.augment.fit import Fit


def fit_device(
    photos: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    prior: str | None = None,
    chart: Path | None = None,
    report: Path | None = None,
    most: int = 100,
    json: bool = False,
) -> int:
    """Estimate a device profile from photographs of one camera, with a confidence for every parameter.

    Noise, processing and lens are fitted by simulating the camera on what the photographs show; JPEG quality is read
    from the files' tables. What photographs cannot tell comes from the shipped profile nearest to them, and the YAML
    says so.

    Args:
        photos: folder of photographs as the camera wrote them, one size, no side above 2048 pixels, 3 or more (20 fit
            well, 100 best). A quarter of plain walls and papers and a few in near darkness tell the noise most plainly.
        out: the profile to write, a YAML file; its name becomes the profile's.
        prior: shipped profile that fills what cannot be identified, instead of the nearest.
        chart: folder of photographs of a 24-patch colour chart, cropped to its outer edge, dark skin at the top left.
        report: where the report goes; next to `out` as HTML otherwise.
        most: photographs that are read at most.
        json: print the result as JSON.

    Returns:
        0 when the profile was written and every file could be used, 1 when some files were left out.
    """
    from spooflab.atomic import write_over
    from spooflab.augment.fit import fit_device as fit
    from spooflab.augment.fit import read_charts, read_photographs, to_yaml
    from spooflab.augment.fit.report import render_report
    from spooflab.augment.profile import list_profiles, load_profile
    from spooflab.errors import ConfigError

    if out.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--out {out}", wanted="a file name that ends in .yaml")
    if most < 3:
        raise ConfigError(f"--most {most}", wanted="3 or more")
    if prior is not None and prior not in list_profiles():
        raise ConfigError(f"--prior {prior}", wanted=f"one of {', '.join(list_profiles())}")
    picture = report if report is not None else out.with_suffix(".html")
    _check_outputs(out, picture)
    photographs = read_photographs(photos, most=most)
    charts = read_charts(chart) if chart is not None else None
    found = fit(
        photographs,
        name=_name(out),
        prior=load_profile(prior) if prior is not None else None,
        charts=charts,
        progress=lambda step: None if json else _tell(step),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_over(out, to_yaml(found.profile).encode())
    write_over(picture, render_report(found).encode())
    if json:
        sys.stdout.write(json_module.dumps(_told(found, out, picture)) + "\n")
    else:
        _show(found, out, picture)
    return 1 if photographs.left_out else 0


def _check_outputs(out: Path, report: Path) -> None:
    """Refuse before the long fit what could not be written after it."""
    from spooflab.errors import ConfigError

    if report.resolve() == out.resolve():
        raise ConfigError(f"--report {report} is --out too", wanted="two different files")
    if report.parent.resolve() != out.parent.resolve() and not report.parent.is_dir():
        raise ConfigError(f"--report {report}: there is no folder {report.parent}", wanted="a folder that exists")
    for path in (out, report):
        if path.is_dir():
            raise ConfigError(f"{path} is a folder", wanted="the name of a file to write")


def _name(out: Path) -> str:
    """Return the file's name as a profile's: lower case, digits and underscores."""
    name = re.sub(r"[^a-z0-9]+", "_", out.stem.lower()).strip("_")
    return name or "fitted"


def _tell(step: str) -> None:
    sys.stderr.write(f"{step} ...\n")
    sys.stderr.flush()


def _told(found: "Fit", out: Path, picture: Path) -> dict[str, object]:
    return {
        "profile": str(out),
        "report": str(picture),
        "unit": found.unit,
        "prior": found.prior,
        "photographs": len(found.photographs.photos),
        "left_out": [{"file": name, "reason": reason} for name, reason in found.photographs.left_out],
        "estimates": [
            {
                "key": f"{e.group}.{e.key}",
                "value": e.value,
                "low": e.low,
                "high": e.high,
                "std": e.std if math.isfinite(e.std) else None,
                "confidence": e.confidence,
                "how": e.how,
            }
            for e in found.estimates
        ],
        "remarks": found.remarks,
    }


def _show(found: "Fit", out: Path, picture: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    count = len(found.photographs.photos)
    table = Table(
        "", "value", "range", "confidence", "", title=f"{found.profile.name}: fitted from {count} photographs"
    )
    quality = found.profile.codec.quality
    table.add_row("codec.quality", "", f"{quality[0]} – {quality[1]}", "", found.profile.codec.source.split(";")[0])
    for e in found.estimates:
        shown = f"prior {found.prior}: {e.how}" if not e.fitted else e.how
        table.add_row(f"{e.group}.{e.key}", f"{e.value:.3g}", f"{e.low:.3g} – {e.high:.3g}", e.confidence, shown)
    console.print(table)
    for name, reason in found.photographs.left_out:
        console.print(f"left out: {name}: {reason}", highlight=False, markup=False)
    for remark in found.remarks:
        console.print(remark, highlight=False)
    console.print(f"{out} (most like the camera: unit {found.unit}) · {picture}", highlight=False)
