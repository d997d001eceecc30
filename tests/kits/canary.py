"""Files of every kind that run code where a careless reader opens them, and a file that this code would make."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from spooflab.sample import SCHEMA


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def pickled(canary: Path) -> bytes:
    return pickle.dumps(Touch(canary))


def torch_saved(canary: Path) -> bytes:
    """The container that torch.save writes, with a pickle that makes a file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(canary))
        archive.writestr("archive/version", "3\n")
    return out.getvalue()


def tagged_yaml(canary: Path) -> Iterator[str]:
    yield f"seed: !!python/object/apply:os.system ['touch {canary}']\n"
    yield f"seed: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{canary}']]\n"
    yield f"seed: !!python/object/new:subprocess.Popen [['touch', '{canary}']]\n"


def own_code_repository(folder: Path, canary: Path) -> Path:
    """A model folder that asks for `trust_remote_code`: its configuration names a class of its own file."""
    folder.mkdir(parents=True)
    auto = {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel"}
    config = {"model_type": "evil", "architectures": ["EvilModel"], "auto_map": auto}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"from pathlib import Path\nPath({str(canary)!r}).touch()\n")
    (folder / "pytorch_model.bin").write_bytes(torch_saved(canary))
    return folder


def parquet_with_pickled_type(path: Path, canary: Path, schema: pa.Schema = SCHEMA) -> Path:
    """A Parquet file whose first column's type is said to be a pickle, as pyarrow before 14.0.1 would have loaded."""
    notes = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickled(canary),
    }
    first = schema.field(0).with_metadata(notes)
    pq.write_table(schema.set(0, first).empty_table(), path)
    return path


def fires(read: Callable[[], object], canary: Path) -> bool:
    """Say whether a careless reader would make the canary: the check of the check."""
    read()
    made = canary.exists()
    canary.unlink(missing_ok=True)
    return made
