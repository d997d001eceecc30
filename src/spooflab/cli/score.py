"""`spooflab score`: what a trained detector says of pictures."""

import json as json_module
import math
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from spooflab.experiments.export.face_crop import FaceCrop
    from spooflab.experiments.export.loaded_detector import LoadedDetector
    from spooflab.experiments.export.pictures import Listed, Picture
    from spooflab.experiments.export.score import ScoredPicture

Number = Annotated[float | None, tyro.conf.arg(metavar="FLOAT")]


def score(
    model: tyro.conf.Positional[Path],
    images: tyro.conf.Positional[tuple[str, ...]],
    /,
    *,
    out: Path | None = None,
    json: bool = False,
    threshold: Number = None,
    crop: Literal["none", "face"] = "none",
    margin: Number = None,
    label: Literal["bonafide", "attack"] | None = None,
    species: str = "",
    batch_size: int = 32,
    threads: int = 1,
    trust_torchscript: bool = False,
) -> int:
    """Score pictures with an exported detector, or with a training's own folder.

    The model takes pictures framed as its training set's (card.md says how); it aligns nothing. Pictures are decoded
    and resized as in training, whole, unless --crop face. Every picture gets a row; one that cannot be scored gets the
    reason, and must not be taken as accepted. The exit status is then 1.

    Args:
        model: model.onnx with its card.json beside it, the folder of both, of a training, or of a study's cell.
        images: files, folders, globs (quoted, `**` walks), or folders of data sets that spooflab wrote.
        out: .csv or .parquet file of all rows, as `spooflab evaluate` reads them; without it they are printed.
        json: print one JSON object on stdout, with the rows unless --out holds them.
        threshold: bona fide iff score >= it, instead of the card's.
        crop: `face` cuts loose pictures around the face that the shipped network finds, framed as in training.
        margin: of that cut on each side, in parts of the face's box; by default as the card's training set.
        label: truth of all loose pictures, for `spooflab evaluate`.
        species: attack species of all loose pictures, with `--label attack`.
        batch_size: pictures scored at once.
        threads: of onnxruntime.
        trust_torchscript: load a TorchScript file, which is a program and not data.

    Returns:
        0 when every picture has a score, 1 when any has none.
    """
    from rich.console import Console

    from spooflab.errors import ConfigError
    from spooflab.experiments.export.facts_of_row import RowFacts
    from spooflab.experiments.export.loaded_detector import load_detector
    from spooflab.experiments.export.pictures import list_pictures, read_pictures
    from spooflab.experiments.export.score import score_pictures
    from spooflab.experiments.export.score_writer import check_suffix, open_writer

    _check(threshold, label, species, batch_size, threads)
    if margin is not None and (crop == "none" or not 0 <= margin <= 3):
        raise ConfigError(f"--margin {margin} with --crop {crop}", wanted="0 to 3, with --crop face")
    if out is not None:
        check_suffix(out)
    console = Console(stderr=True, soft_wrap=True)
    detector = load_detector(model, threads=threads, trust_torchscript=trust_torchscript)
    listed = list_pictures(images)
    limit = detector.threshold if threshold is None else threshold
    cut = _crop(crop, margin, detector, listed)
    _tell(console, detector, listed, limit, given=threshold is not None)

    def labelled() -> Iterator["Picture"]:
        for picture in read_pictures(listed):
            yield picture if picture.stored else replace(picture, facts=RowFacts(label or "", species))

    scored = score_pictures(detector, labelled(), threshold=limit, crop=cut, batch=batch_size)
    with open_writer(out) if out is not None else nullcontext() as writer:
        told = _Told(keep=json and out is None, show=not json and out is None)
        for row in scored:
            told.take(row)
            if writer is not None:
                writer.write(row)
    told.summarise(console, out, limit)
    if json:
        summary = {"model": detector.name, "threshold": limit, "out": str(out) if out else None, **told.figures()}
        sys.stdout.write(json_module.dumps(summary, allow_nan=False) + "\n")
    return 1 if told.reasons else 0


class _Told:
    """Counts what came, and prints or keeps it where no file does."""

    def __init__(self, *, keep: bool, show: bool) -> None:
        self.keep, self.show = keep, show
        self.decisions: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.rows: list[dict[str, Any]] = []

    def take(self, row: "ScoredPicture") -> None:
        from spooflab.experiments.export.score_writer import as_row

        (self.reasons if row.reason else self.decisions)[row.reason or row.decision or "scored"] += 1
        if self.keep:
            self.rows.append(as_row(row))
        if self.show:
            # The name of a file may hold what a terminal obeys.
            name = row.name if row.name.isprintable() else ascii(row.name)
            why = f"{row.reason}: {row.detail}" if row.reason else row.decision
            sys.stdout.write(f"{'nan' if row.reason else f'{row.score:.6f}'}\t{why}\t{name}\n")

    def figures(self) -> dict[str, Any]:
        counts = {"scored": self.decisions.total(), "failed": self.reasons.total()}
        told = {**counts, "decisions": dict(self.decisions), "reasons": dict(self.reasons)}
        return told | {"images": self.rows} if self.keep else told

    def summarise(self, console: Any, out: Path | None, threshold: float | None) -> None:
        parts = [f"{count} {name}" for name, count in sorted(self.decisions.items())]
        parts += [f"{count} without a score ({reason})" for reason, count in sorted(self.reasons.items())]
        console.print(", ".join(parts), highlight=False)
        if out is not None and out.suffix == ".csv":
            fixed = "" if threshold is None else f" --threshold {threshold!r}"
            console.print(f"{out}; figures, where labels are known: spooflab evaluate {out}{fixed}", highlight=False)


def _check(threshold: float | None, label: str | None, species: str, batch_size: int, threads: int) -> None:
    from spooflab.errors import ConfigError

    if threshold is not None and not math.isfinite(threshold):
        raise ConfigError(f"--threshold {threshold}", wanted="a finite number")
    if (label == "attack") != bool(species):
        raise ConfigError(
            f"--label {label} with --species {species!r}", wanted="--label attack with --species, or bonafide"
        )
    if batch_size < 1 or threads < 1:
        raise ConfigError(f"--batch-size {batch_size}, --threads {threads}", wanted="1 or more of each")


def _crop(crop: str, margin: float | None, detector: "LoadedDetector", listed: "Listed") -> "FaceCrop | None":
    from spooflab.errors import ConfigError
    from spooflab.experiments.export.face_crop import FaceCrop, margin_of

    if crop == "none":
        return None
    if not listed.loose:
        raise ConfigError("--crop face of a data set", wanted="loose pictures: a data set's are framed as they are")
    return FaceCrop(margin_of(detector.face_share) if margin is None else margin, detector.stored_px or detector.size)


def _tell(console: Any, detector: "LoadedDetector", listed: "Listed", threshold: float | None, *, given: bool) -> None:
    source = "the command line" if given else detector.threshold_source
    console.print(
        f"{listed.count} pictures, {detector.size} x {detector.size} pixels for {detector.name}", highlight=False
    )
    if threshold is None:
        console.print("no threshold is known: scores only (--threshold sets one)", style="yellow")
    else:
        console.print(f"bona fide iff score >= {threshold!r}, from {source}", highlight=False)
    if listed.passed_over:
        console.print(f"{listed.passed_over} files of the folders are no pictures by their names", style="yellow")
