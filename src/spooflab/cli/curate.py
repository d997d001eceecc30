"""`spooflab curate`: a diverse subset of a data set."""

import json as json_module
import sys
from pathlib import Path
from typing import Any, Literal

import tyro


def curate(
    directory: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    n: int,
    by: Literal["embedding", "parameters", "both"] = "both",
    stratify: str = "",
    embedding: str = "face-net",
    seed: int = 0,
    per_shard: int = 64,
    resume: bool = False,
    json: bool = False,
) -> int:
    """Choose N pictures that cover a finished data set as well as can be, and write them as a data set of their own.

    Each next picture is the one that is farthest from all that are chosen (Gonzalez 1985): no picture of the data set
    is then more than twice as far from the subset as under the best choice. Rows keep their keys and provenance;
    plan.json holds the source's plan and hash and what was asked, curation.json compares with random subsets.

    Args:
        directory: folder of the data set.
        out: folder of the subset.
        n: number of pictures.
        by: distances of what pictures look like (`embedding`), of the physical parameters that they were drawn with,
            each by its prior's distribution function (`parameters`), or of both, weighing alike.
        stratify: take as many of each alike: some of label, species, device, instrument, source, joined by commas.
        embedding: `face-net`, the network that comes with spooflab, or a local folder of a transformers vision model.
        seed: chooses where the selection begins, and the random subsets.
        per_shard: pictures of a shard of the subset.
        resume: go on with an interrupted run of the same wish.
        json: print the figures as JSON.
    """
    import torch

    from spooflab.allocator import keep_freed_memory
    from spooflab.experiments.data_sets.curation.curate import Wish
    from spooflab.experiments.data_sets.curation.curate import curate as run

    torch.set_num_threads(1)
    keep_freed_memory()
    names = tuple(name.strip() for name in stratify.split(",") if name.strip())
    done = run(directory, out, Wish(n, by, names, embedding, seed, per_shard), resume=resume)
    if json:
        sys.stdout.write(json_module.dumps({"out": str(out), **done.to_json()}) + "\n")
    else:
        _show(done)
    sys.stderr.write(f"{done.summary.rows} of {done.of} pictures. Check: spooflab verify {out}\n")
    return 0 if done.summary.committed == done.summary.shards else 1


def _show(done: Any) -> None:
    from spooflab.experiments.data_sets.markdown import table

    random = done.random
    rows: list[tuple[str, str, str]] = [
        ("largest distance to the subset", f"{done.selected.largest:.3f}", _span([r.largest for r in random])),
        ("mean distance to the subset", f"{done.selected.mean:.3f}", _span([r.mean for r in random])),
    ]
    if done.selected.tenths is not None:
        rows.append(
            (
                "occupied tenths of parameters' ranges",
                f"{done.selected.tenths:.1%}",
                _span([100 * r.tenths for r in random], "%"),
            )
        )
    lines = table(("figure", "subset", f"{len(random)} random ones of the same size"), rows)
    sys.stdout.write("\n".join(lines) + "\n")


def _span(values: list[float], unit: str = "") -> str:
    return f"{min(values):.3g}{unit} … {max(values):.3g}{unit}"
