"""`spooflab realism`: how far simulated attacks are from real captures, and which parameters to move."""

import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro


def realism(
    synthetic: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SYNTHETIC")],
    real: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="REAL")],
    /,
    out: Path,
    *,
    detector: tyro.conf.UseAppendAction[tuple[Path, ...]] = (),
    size: int = 0,
    alias: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    most: int = 160,
    seed: int = 0,
    show_real: bool = False,
    json: bool = False,
) -> int:
    """Compare simulated with real captures, species by species, and say which physical parameters to move.

    Writes `realism.json` and `realism.html`: domain classifiers on matched content, spectra, noise, colour, sensor
    grid, detectors' scores against a matched control, and parameter ranges.

    Args:
        synthetic: folder of `spooflab generate`.
        real: folder of `spooflab ingest`.
        out: folder of the report.
        detector: an .onnx file that takes (B, 3, S, S) floats in [0, 1] and gives scores, higher for bona fide, or a
            folder of `spooflab train`; may be given several times.
        size: S of an ONNX detector that leaves it open.
        alias: REAL_SPECIES=SPECIES where the two stores name one thing differently; may be given several times.
        most: most pictures of one species from each store.
        seed: of sampling, folds and resampling.
        show_real: put some real pictures on the page; they show people.
        json: print the results as JSON instead of sentences.
    """
    import torch
    from rich.console import Console

    from spooflab.config import parse_config
    from spooflab.experiments.realism import RealismSettings, compare, read_side
    from spooflab.experiments.realism.report import plain, write_realism_report

    told = {"detectors": detector, "detector_px": size, "most": most, "seed": seed, "show_real": show_real}
    settings = parse_config({**told, "alias": _aliases(alias)}, RealismSettings, origin="command line")
    torch.set_num_threads(1)
    errors = Console(stderr=True, soft_wrap=True)
    found = compare(
        read_side(synthetic),
        read_side(real, settings.alias),
        settings,
        progress=lambda text: errors.print(text, highlight=False, markup=False),
    )
    write_realism_report(found, out)
    if json:
        sys.stdout.write(json_module.dumps(plain(found.results), allow_nan=False) + "\n")
    else:
        _show(found.results, out)
    return 0


def _aliases(pairs: tuple[str, ...]) -> dict[str, str]:
    from spooflab.errors import ConfigError

    wrong = [pair for pair in pairs if not all(pair.partition("="))]
    if wrong:
        raise ConfigError(f"--alias {wrong[0]}", wanted="REAL_SPECIES=SPECIES, such as print_photo=print_a4")
    return {own: meant for own, _, meant in (pair.partition("=") for pair in pairs)}


def _show(results: dict[str, Any], out: Path) -> None:
    from rich.console import Console

    console = Console(soft_wrap=True)

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, highlight=False, markup=False)

    say(results["answer"], "bold")
    for note in results["notes"]:
        say(f"note: {note}", "yellow")
    for name, entry in results["species"].items():
        say(f"\n{name}", "bold")
        say(f"  {entry['verdict']}")
        for detector, told in entry["detectors"].items():
            if "gap" in told:
                say(f"  {detector}: {_gap_words(told['gap'])}")
        if not entry["advice"]:
            say("  to move: nothing to say")
        for line in entry["advice"]:
            say(f"  to move: {line}")
        for line in entry["yaml"]:
            say(f"    {line}", "cyan")
    say(f"\n{out / 'realism.html'}")


def _gap_words(gap: dict[str, Any]) -> str:
    if not gap["drops"]:
        return "does not surely tell the simulated attack from bona fide"
    share, low, high = gap["physics_share"]
    span = "" if low is None else f" ({low:.2f} to {high:.2f})"
    closer = "is closer to" if gap["surely_closer"] else "is not surely closer to"
    return (
        f"physics explains {share:.2f}{span} of its drop; the simulated attack {closer} real attacks than its control"
    )
