"""`spooflab export-dataset`: a data set in the formats of others."""

import json as json_module
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import tyro

from spooflab.cli.place import Place


def export_dataset(
    directory: tyro.conf.Positional[Place],
    /,
    *,
    to: Literal["webdataset", "imagefolder", "hf"],
    out: Path,
    masks: bool = False,
    mark: bool = True,
    per_shard: int = 1000,
    json: bool = False,
) -> int:
    """Write a finished data set as WebDataset tar files, as an image folder, or as Hugging Face Parquet.

    Pictures keep every byte; a mark with their IPTC source type is put in as metadata. OUT is whole or absent.

    Args:
        directory: folder or URL of the data set.
        to: the format.
        out: folder to make; it must not exist.
        masks: write the spoof masks too.
        mark: put the source type into the files; the records name it in any case.
        per_shard: pictures of each tar or Parquet file.
        json: print the summary as JSON.
    """
    from spooflab.experiments.data_sets.outgoing.export import export_data_set

    done = export_data_set(directory, out, to, masks=masks, mark=mark, per_shard=per_shard)
    if json:
        sys.stdout.write(json_module.dumps(asdict(done)) + "\n")
        return 0
    sys.stderr.write(
        f"{done.rows} pictures in {out} as {to}, {len(done.files)} files of rows. {_reading(to, out, done.files)}\n"
    )
    return 0


def _reading(to: str, out: Path, files: list[str]) -> str:
    if to == "imagefolder":
        return f'Read: datasets.load_dataset("imagefolder", data_dir="{out}")'
    if to == "hf":
        return f'Read: datasets.load_dataset("{out}")'
    if len(files) == 1:
        return f'Read: webdataset.WebDataset("{out / files[0]}")'
    return f'Read: webdataset.WebDataset("{out}/shard-{{000000..{len(files) - 1:06d}}}.tar")'
