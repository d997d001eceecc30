"""Leases whose holders seem to be gone."""

import json
from pathlib import Path

from spooflab.store import Store
from spooflab.store_files import files_at


def silence(store: Store, name: str) -> None:
    """Let a lease look like that of a process of another machine whose term has passed.

    Args:
        store: of the lease.
        name: of the lease's file in it.
    """
    files = files_at(store.root)
    content = json.dumps(json.loads(files.read(name)) | {"host": "elsewhere", "term_s": -1.0}).encode()
    files.touch(name, content)
    if not files.remote:
        Path(str(files.path(name))).write_bytes(content)
