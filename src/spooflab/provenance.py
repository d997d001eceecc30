"""Where a picture comes from: source type, code version and library versions, as plain strings and JSON.

The columns of the store are the truth: tags inside image files do not survive a re-save. Source types are the IPTC
Digital Source Type NewsCodes (https://cv.iptc.org/newscodes/digitalsourcetype/, release 2024-09).
"""

import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import spooflab

_IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"

DIGITAL_CAPTURE = _IPTC + "digitalCapture"
"""A photograph as a camera took it. spooflab makes none; real data sets that it reads are this."""
ALGORITHMIC_MEDIA = _IPTC + "algorithmicMedia"
"""Made purely by an algorithm that learned from no sampled data: a procedural face, whatever attack shows it."""
COMPOSITE = _IPTC + "composite"
"""A composite of elements of any kind: a photograph seen through a simulated instrument or camera, all by rules."""
COMPOSITE_SYNTHETIC = _IPTC + "compositeSynthetic"
"""A composite with an element that a trained generative model made: a sheet on which such a picture stands. Records
that were written before release 2024-09 of the vocabulary was followed have it in place of `COMPOSITE`."""
TRAINED_ALGORITHMIC_MEDIA = _IPTC + "trainedAlgorithmicMedia"
"""Made by a model that was trained on sampled content, such as a diffusion model."""
COMPOSITE_WITH_TRAINED = _IPTC + "compositeWithTrainedAlgorithmicMedia"
"""A photograph edited by such a model."""

SOURCE_TYPES = (
    DIGITAL_CAPTURE,
    ALGORITHMIC_MEDIA,
    COMPOSITE,
    COMPOSITE_SYNTHETIC,
    TRAINED_ALGORITHMIC_MEDIA,
    COMPOSITE_WITH_TRAINED,
)
"""Every value that the `digital_source_type` column may hold."""

_LEARNED = {TRAINED_ALGORITHMIC_MEDIA, COMPOSITE_WITH_TRAINED, COMPOSITE_SYNTHETIC}

GENERATOR = f"spooflab {spooflab.__version__}"
"""Name and version of the program that made a picture, as the `generator` column holds it."""

_PIXEL_FOLDERS = ("augment", "generators", "configs")
_PIXEL_SUFFIXES = (".py", ".yaml", ".json", ".safetensors")
_LIBRARIES = ("torch", "numpy", "pillow", "pyarrow", "kornia")


def source_type(*, rendered: bool, learned: bool = False) -> str:
    """Return the IPTC source type of a picture that spooflab made.

    Label and species play no part, so that the column tells nothing that a detector might learn from.

    Args:
        rendered: all faces in it were rendered; False if any is a photograph.
        learned: a trained generative model made or changed pixels.
    """
    if learned:
        return TRAINED_ALGORITHMIC_MEDIA if rendered else COMPOSITE_WITH_TRAINED
    return ALGORITHMIC_MEDIA if rendered else COMPOSITE


def is_synthetic(digital_source_type: str) -> bool:
    """Return whether a picture of this source type must be marked as synthetic media: all but plain captures."""
    return digital_source_type != DIGITAL_CAPTURE


def joined_source_type(types: Iterable[str]) -> str:
    """Return the source type of a picture that is put together of pictures of these types, such as a contact sheet."""
    held = set(types)
    if len(held) == 1:
        return held.pop()
    return COMPOSITE_SYNTHETIC if held & _LEARNED else COMPOSITE


@lru_cache(maxsize=1)
def source_sha256() -> str:
    """Hash all code and data that decides pixels: core, `augment`, `generators` and `configs`.

    It needs no git, sees edits that are not committed, and is the same in a checkout and in the wheel built from it.
    """
    root = Path(spooflab.__file__).parent
    files = [*root.glob("*.py")]
    for folder in _PIXEL_FOLDERS:
        files += [p for p in (root / folder).rglob("*") if p.suffix in _PIXEL_SUFFIXES]
    digest = hashlib.sha256()
    for name, path in sorted((p.relative_to(root).as_posix(), p) for p in files):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def code_version() -> str:
    """Return the version with the first 12 digits of `source_sha256`, such as `0.1.0+src.7f3a9c0d1e2b`."""
    return f"{spooflab.__version__}+src.{source_sha256()[:12]}"


def code_facts() -> dict[str, str]:
    """Return what decides the bytes besides the configuration: versions of this code and of its libraries."""
    facts = {"spooflab": spooflab.__version__, "source_sha256": source_sha256()}
    facts["python"] = ".".join(platform.python_version_tuple()[:2])
    return facts | {name: importlib.metadata.version(name) for name in _LIBRARIES}


def provenance() -> dict[str, Any]:
    """Return `code_facts` with the machine and, in a checkout, the git commit: for cards and reports.

    None of the additions may decide bytes, so none of them belongs in a plan.
    """
    return {
        "generator": GENERATOR,
        "code": code_facts(),
        "git_commit": git_commit(Path(spooflab.__file__).resolve().parents[2]),
        "platform": {
            "system": platform.system(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        },
        "synthetic": True,
        "digital_source_types": list(SOURCE_TYPES[1:]),
    }


def git_commit(checkout: Path) -> str | None:
    """Return the commit that `checkout` has out, read from its `.git`; None where there is no repository."""
    try:
        folder = checkout / ".git"
        if folder.is_file():  # a worktree's `.git` is one line that names the real folder
            folder = checkout / folder.read_text().removeprefix("gitdir:").strip()
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref:"):
            return head
        return _ref(folder, head.removeprefix("ref:").strip())
    except OSError:
        return None


def _ref(folder: Path, name: str) -> str | None:
    common = folder / "commondir"
    shared = folder / common.read_text().strip() if common.exists() else folder
    for place in (folder, shared):
        if (place / name).exists():
            return (place / name).read_text().strip()
    for line in (shared / "packed-refs").read_text().splitlines():
        commit, _, ref = line.partition(" ")
        if ref == name:
            return commit
    return None
