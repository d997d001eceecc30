"""What a store's folder holds under final names, and what lies about in it besides."""

import hashlib
from pathlib import Path


def shard_hashes(root: Path) -> dict[str, str]:
    """Hash every shard and record, by name."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((root / "shards").iterdir())}


def left_over(root: Path) -> list[Path]:
    """Return unfinished files and leases: none, once nobody works."""
    return [path for name in ("aside", "leases") for path in (root / name).iterdir()]
