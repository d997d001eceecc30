"""`spooflab export`: a trained detector as ONNX or TorchScript, with its card."""

import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro


def export(
    run: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    format: Literal["onnx", "torchscript"] = "onnx",
    int8: bool = False,
    algorithm: str | None = None,
    fold: str | None = None,
    seed: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
    data: Path | None = None,
    calibrate: bool = False,
    calibration: Path | None = None,
    calibration_images: int = 256,
    licence: str | None = None,
    threads: int = 1,
    latency: bool = True,
    bootstrap: int = 2000,
    json: bool = False,
) -> int:
    """Write a trained detector as one file for other programs, with a card that says how to use it and what to expect.

    The file takes decoded pictures and gives log-odds and the likelihood of bona fide. It is compared with PyTorch on
    source-dev pictures and on made-up ones; where a score differs by more than 1e-4, nothing is written.

    Args:
        run: folder of `spooflab train --out`, of a study's cell (STUDY/runs/ID), or of a study.
        out: folder for the model, card.json, card.md and latency.json.
        format: onnx, or torchscript (a program: `spooflab score` reads it only with leave).
        int8: convolutions and products in 8 bits; at most one point of source-dev's AUC may be lost.
        algorithm: of the cell, for a study's folder: the heading of its column.
        fold: of the cell, for a study's folder.
        seed: of the cell, for a study's folder.
        data: folder of the data set, if it was moved.
        calibrate: fit the temperature on source-dev now; by default it is the training's.
        calibration: data set that 8-bit ranges are read off, instead of source-dev; never rows that judge.
        calibration_images: how many pictures of it.
        licence: of the model, for the card.
        threads: of the runtime whose latency is measured.
        latency: measure it, for one picture and for 32.
        bootstrap: resamples of subjects, for the intervals in the card.
        json: print the card as JSON on stdout.
    """
    from rich.console import Console

    from spooflab.config import parse_config
    from spooflab.experiments.export import Choice, ExportConfig, export_run, find_run

    given: dict[str, Any] = {"format": format, "int8": int8, "calibrate": calibrate, "calibration": calibration}
    given |= {"calibration_images": calibration_images, "threads": threads, "latency": latency, "bootstrap": bootstrap}
    given |= {"licence": licence} if licence else {}
    config = parse_config(given, ExportConfig, origin="command line")
    console = Console(stderr=True, soft_wrap=True)
    found = find_run(run, Choice(algorithm, fold, seed), data=data)
    console.print(f"{found.label}{f', {found.fold} held out' if found.fold else ''}: {len(found.dev)} source-dev rows")
    card = export_run(found, out, config)
    model, chosen, parity = card["model"], card["decision"], card["parity"]
    console.print(
        f"{out / model['file']}: {model['bytes']:,} bytes; scores within {parity['score']:.1e} of PyTorch's; threshold "
        f"{chosen['threshold']:.6g} (dev EER {100 * chosen['dev_eer']:.2f} %)",
        highlight=False,
    )
    for part, pair in (card["int8"] or {"auc": {}})["auc"].items():
        console.print(f"8 bits: AUC on {part} {100 * pair['int8']:.2f} %, in float {100 * pair['float']:.2f} %")
    console.print(f"Read {out / 'card.md'}; score with: spooflab score {out} IMAGES")
    if json:
        sys.stdout.write(json_module.dumps(card, allow_nan=False) + "\n")
    return 0
