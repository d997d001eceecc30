"""Data sets that name files outside of them: links, paths that lead out, and cells that hold a path and no bytes."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from faults import Outcome
from flips import finished
from real_trees import png, write

from spooflab.errors import DataError, SkipSample
from spooflab.experiments.data_sets.merging.merge import merge
from spooflab.experiments.data_sets.outgoing.export import export_data_set
from spooflab.experiments.ingest.config import IngestConfig
from spooflab.experiments.ingest.run import ingest
from spooflab.generators.faces.folder import read_confined
from spooflab.sample import SCHEMA
from spooflab.store import Store, iter_images, iter_rows, read_index, read_row

SECRET = png(99, 64)
"""Lies outside of every data set; wherever its bytes come out, somebody followed a path."""

Trick = Callable[[random.Random, Path], bool]
"""Builds a data set in an empty folder and has it read; says whether it was refused, with a reason and nothing read."""


def refuses(read: Callable[[], object], *words: str) -> bool:
    try:
        read()
    except (DataError, SkipSample) as error:
        return any(word in str(error) for word in words)
    return False


def leading_out(rng: random.Random, folder: Path) -> str:
    """Draw a path to the secret: relative, absolute, by a detour, or by a link."""
    secret = write(folder, "secret.png", SECRET)
    ways = ("../secret.png", str(secret), "a/../../secret.png", "link.png", "folder/secret.png", "./../secret.png")
    return rng.choice(ways)


def with_links(root: Path) -> Path:
    (root / "a").mkdir(parents=True)
    (root / "link.png").symlink_to(root.parent / "secret.png")
    (root / "folder").symlink_to(root.parent)
    return root


def linked_store(rng: random.Random, folder: Path) -> bool:
    """Put a link in place of a drawn file or folder of a store."""
    store = finished(folder / "data")
    path = store.root / rng.choice(("shards", "plan.json", "shards/shard-00000.parquet", "shards/shard-00000.json"))
    path.rename(folder / "outside")
    path.symlink_to(folder / "outside")

    def read_all() -> None:
        for _ in iter_rows(store.root):
            pass
        read_index(store.root)

    return refuses(read_all, "link") and (path.parent.name != "shards" or not Store.open(store.root).verify().ok)


def cell_with_a_path(rng: random.Random, folder: Path) -> Path:
    """Make a store of which one cell holds a path in place of bytes."""
    store, path = finished(folder / "data"), leading_out(rng, folder)
    file = store.root / "shards" / "shard-00001.parquet"
    rows = pq.read_table(file).to_pylist()
    rows[1][rng.choice(("image", "mask"))] = {"bytes": None, "path": path}
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), file)
    return store.root


def read_by_path(rng: random.Random, folder: Path) -> bool:
    root = cell_with_a_path(rng, folder)

    def read_all() -> None:
        for column in ("image", "mask"):
            for _, data in iter_images(root, column=column):
                assert data != SECRET

    found = refuses(read_all, "holds the path") and refuses(lambda: read_row(root, "s00000101"), "holds the path")
    return found and not Store.open(root).verify().ok


def merged_by_path(rng: random.Random, folder: Path) -> bool:
    root = cell_with_a_path(rng, folder)
    parts = [root, finished(folder / "other").root]
    return refuses(lambda: merge(parts, folder / "out", duplicates="skip"), "holds the path", "spooflab verify")


def exported_key(rng: random.Random, folder: Path) -> bool:
    """Name a sample so that a file of that name would lie elsewhere, past the checks that its maker has."""
    sample = read_row(finished(folder / "fine").root, "s00000100")
    object.__setattr__(sample, "key", rng.choice(("../../evil", "/evil", "a/b", ".hidden", "..")))
    store = Store.create(folder / "a" / "crafted", {}, shards=1)
    lease = store.claim(0)
    assert lease is not None
    with lease:
        store.commit(lease, [sample])
    to = rng.choice(("webdataset", "imagefolder"))
    refused = refuses(lambda: export_data_set(store.root, folder / "a" / "out", to), "key")
    return refused and sorted(os.listdir(folder)) == ["a", "fine"] and os.listdir(folder / "a") == ["crafted"]


def listed(rng: random.Random, folder: Path) -> bool:
    """List a picture in a manifest by a path that leads out."""
    path, root = leading_out(rng, folder), with_links(folder / "data")
    write(root, "fine.png", png(1, 64))
    write(root, "manifest.csv", f"path,label,subject\nfine.png,live,p0\n{path},live,p1\n")
    return ingested(root, "manifest", folder / "out", rows=1, reason="path_escape")


def embedded(rng: random.Random, folder: Path) -> bool:
    """Hand a Parquet data set in, of which one picture is a path."""
    path, root = leading_out(rng, folder), with_links(folder / "data")
    pictures = [{"bytes": png(1, 64), "path": "fine.png"}, {"bytes": None, "path": path}]
    pq.write_table(pa.table({"image": pictures, "label": ["live", "live"]}), root / "train-00000-of-00001.parquet")
    return ingested(root, "hf_parquet", folder / "out", rows=1, reason="")


def ingested(root: Path, reader: str, out: Path, *, rows: int, reason: str) -> bool:
    config = IngestConfig(
        reader=reader, root=str(root), licence="for tests", consent="none: drawn", size=32, crop="frame", faces="given"
    )
    summary, findings = ingest(config, out)
    assert findings is not None
    reasons = [broken.reason for broken in findings.broken]
    return summary.rows == rows and len(reasons) == 1 and reasons[0] != "" and reason in ("", reasons[0])


def photographed(rng: random.Random, folder: Path) -> bool:
    """Name a photograph of a folder of faces by a path that leads out."""
    path, root = leading_out(rng, folder), with_links(folder / "faces")
    return refuses(lambda: read_confined(root, path), "path_escape")


TRICKS: tuple[Trick, ...] = (linked_store, read_by_path, merged_by_path, exported_key, listed, embedded, photographed)


def tricked(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Play the tricks by turns."""
    outcome = Outcome()
    for number in range(count):
        trick, place = TRICKS[number % len(TRICKS)], folder / str(number)
        place.mkdir()
        refused = trick(rng, place)
        read = any(SECRET in data for data in everything(place, besides=("secret.png",)))
        if not refused or read:
            print(f"{trick.__name__} in {place}")  # for whoever looks why
        outcome += Outcome(1, int(refused and not read), silently_wrong=int(read))
    return outcome


def everything(folder: Path, besides: tuple[str, ...]) -> Iterator[bytes]:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.name not in besides:
            yield path.read_bytes()
