"""`spooflab export-dataset`: a data set in the formats of others."""

import json as json_module
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

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
    c2pa: bool = False,
    certificate: Path | None = None,
    key: Path | None = None,
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
        c2pa: put a signed C2PA manifest into each picture, with its IPTC source type; it needs the extra `c2pa`.
        certificate: with --c2pa, PEM file of the signer's certificate and those that vouch for it.
        key: with --c2pa, PEM file of its private key; it is read and kept nowhere.
        json: print the summary as JSON.
    """
    from spooflab.experiments.data_sets.outgoing.export import export_data_set

    credentials = _credentials(c2pa, certificate, key)
    done = export_data_set(directory, out, to, masks=masks, mark=mark, per_shard=per_shard, credentials=credentials)
    if json:
        sys.stdout.write(json_module.dumps(asdict(done)) + "\n")
        return 0
    sys.stderr.write(
        f"{done.rows} pictures in {out} as {to}, {len(done.files)} files of rows. {_reading(to, out, done.files)}\n"
    )
    return 0


def _credentials(c2pa: bool, certificate: Path | None, key: Path | None) -> Any:
    from spooflab.errors import ConfigError
    from spooflab.experiments.data_sets.outgoing.content_credentials import Credentials

    if not c2pa and certificate is None and key is None:
        return None
    if not c2pa or certificate is None or key is None:
        raise ConfigError("--c2pa, --certificate and --key go together", wanted="all three, or none")
    return Credentials(certificate, key)


def _reading(to: str, out: Path, files: list[str]) -> str:
    if to == "imagefolder":
        return f'Read: datasets.load_dataset("imagefolder", data_dir="{out}")'
    if to == "hf":
        return f'Read: datasets.load_dataset("{out}")'
    if len(files) == 1:
        return f'Read: webdataset.WebDataset("{out / files[0]}")'
    return f'Read: webdataset.WebDataset("{out}/shard-{{000000..{len(files) - 1:06d}}}.tar")'
