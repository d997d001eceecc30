"""The report of a comparison: one self-contained page, and the figures behind it as `realism.json`."""

import base64
import json
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from spooflab.atomic import disk_errors, write_over
from spooflab.experiments.realism import figures
from spooflab.experiments.realism.compare import Comparison
from spooflab.experiments.realism.domain import SURE
from spooflab.experiments.realism.sides import BONAFIDE, Pixels
from spooflab.experiments.realism.suggest import p_words
from spooflab.experiments.realism.words import better

_HERE = Path(__file__).parent
_STYLE = _HERE.parent / "report" / "report.css"
JSON_NAME, PAGE_NAME = "realism.json", "realism.html"


def write_realism_report(found: Comparison, out: Path) -> None:
    """Write `realism.json` and `realism.html` into a folder, which is made where it is missing.

    Raises:
        DataError: the disk refuses.
    """
    with disk_errors(f"{out}: cannot be written"):
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(plain(found.results), indent=1, allow_nan=False)
        write_over(out / JSON_NAME, (text + "\n").encode())
        write_over(out / PAGE_NAME, render(found).encode())


def plain(value: Any) -> Any:
    """Return JSON-ready values: NumPy's numbers as Python's, what is not finite as None."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value


def render(found: Comparison) -> str:
    """Return the page: no script, no network, no external font."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _figure, "spanned": _spanned, "p": p_words}
    results = plain(found.results)
    return environment.get_template("realism.html.j2").render(
        # Our own style sheet is the one text that goes in as it is; everything from data is escaped.
        css=Markup(_STYLE.read_text(encoding="utf-8")),  # noqa: S704  # a file of this package
        results=results,
        blocks=[_block(name, entry, results, found) for name, entry in results["species"].items()],
        rank=_rank(results["species"]),
        sure=SURE,
        inks={"synthetic": figures.SYNTHETIC_INK, "real": figures.REAL_INK, "control": figures.CONTROL_INK},
        bonafide=BONAFIDE,
    )


def _block(name: str, entry: dict[str, Any], results: dict[str, Any], found: Comparison) -> dict[str, Any]:
    plainly = results["species"].get(BONAFIDE)
    scores = {
        detector: figures.scores_figure(
            told,
            None if plainly is None or name == BONAFIDE else plainly["detectors"][detector],
            f"Scores of {detector}, {name}",
        )
        for detector, told in entry["detectors"].items()
    }
    return {
        "name": name,
        "entry": entry,
        "spectrum": figures.spectra_figure(entry["spectrum"], f"Radial spectra, {name}"),
        "noise": figures.noise_figure(entry["noise"], f"Noise-level functions, {name}"),
        "scores": scores,
        "pictures": {kind: [_uri(p) for p in some] for kind, some in found.pictures.get(name, {}).items()},
    }


def _rank(species: dict[str, Any]) -> list[dict[str, Any]]:
    """Species by how well they are told apart, with places on a scale from AUC .3 to 1."""
    rows = []
    for name, entry in species.items():
        best = better(entry)
        rows.append(
            {
                "name": name,
                "entry": entry,
                "auc": best,
                **{k: _place(best[k]) for k in ("low", "high", "null_high")},
                "dot": _place(best["auc"]),
            }
        )
    return sorted(rows, key=lambda row: (not row["entry"]["told_apart"], -row["auc"]["auc"]))


def _place(auc: float | None) -> float | None:
    return None if auc is None else round(100 * (min(max(auc, 0.3), 1.0) - 0.3) / 0.7, 2)


def _figure(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _spanned(entry: Any, digits: int = 2) -> str:
    """An estimate with its bounds, from {value, low, high} or a list of three."""
    value, low, high = (entry["value"], entry["low"], entry["high"]) if isinstance(entry, dict) else entry
    text = _figure(value, digits)
    return text if low is None or high is None else f"{text} ({low:.{digits}f} to {high:.{digits}f})"


def _uri(pixels: Pixels) -> str:
    return "data:image/png;base64," + base64.b64encode(_compressed(pixels)).decode()


def _compressed(pixels: Pixels) -> bytes:
    """A deflated PNG: on a page, size matters."""
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", optimize=True)
    return out.getvalue()
