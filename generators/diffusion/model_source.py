"""Where a diffusion model lies: in a folder, or on the hub at one commit that never moves."""

import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from spooflab.errors import ConfigError, DataError
from spooflab.hub_commit import checked_commit, is_repository

_HUB = "hub:"
_FILE = re.compile(r"(?:\w[\w.-]*/)*\w[\w.-]*\.safetensors")
_FILES = ("*.json", "*.txt", "*.model", "*.md", "*.safetensors")
"""What a model may consist of: nothing that a pickle or a script could hide in."""
_EXAMPLE = "hub:owner/name@<40 hexadecimal digits of a commit>, or a folder; either may go on with /one.safetensors"


@dataclass(frozen=True)
class ModelSource:
    """One model.

    Attributes:
        where: the repository (`owner/name`) on the hub, or the folder's path.
        revision: the commit, 40 hexadecimal digits, of a repository on the hub; None for a folder.
        variant: infix of the weight files to take, such as `fp16`; None for the plain ones.
        file: the one safetensors file that is meant, by its path in there; None for all of it.
    """

    where: str
    revision: str | None = None
    variant: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        place = self.where if self.revision is None else f"{_HUB}{self.where}@{self.revision}"
        return place if self.file is None else f"{place}/{self.file}"

    @property
    def fetch_command(self) -> str:
        """What a person types to get it."""
        variant = "" if self.variant is None else f" --variant {self.variant}"
        return f"spooflab diffusion fetch {self}{variant}"


def parse_source(text: str, *, variant: str | None = None) -> ModelSource:
    """Read `hub:owner/name@commit` or a folder's path; either may go on with the path of one safetensors file in it.

    Raises:
        ConfigError: none of these; or a repository without a full commit: a branch or tag may point elsewhere tomorrow,
            and the record would no longer say what made the picture.

    >>> parse_source("hub:owner/name@" + 40 * "a").where
    'owner/name'
    >>> parse_source("adapters/faces.safetensors").file
    'faces.safetensors'
    """
    if variant is not None and not re.fullmatch(r"\w+", variant):
        raise ConfigError(f"variant {variant!r}", wanted="letters and digits, such as fp16")
    if not text.startswith(_HUB):
        if not text.strip():
            raise ConfigError("an empty model source", wanted=_EXAMPLE)
        path = Path(text)
        if path.suffix == ".safetensors":
            return ModelSource(str(path.parent), variant=variant, file=path.name)
        return ModelSource(text, variant=variant)
    where, _, rest = text.removeprefix(_HUB).partition("@")
    revision, slash, file = rest.partition("/")
    if slash and not _FILE.fullmatch(file):
        raise ConfigError(f"model source {text!r}", wanted=_EXAMPLE)
    if not is_repository(where):
        raise ConfigError(f"model source {text!r}", wanted=_EXAMPLE)
    revision = checked_commit(revision, where, seen=f"model source {text!r}", wanted=_EXAMPLE)
    return ModelSource(where, revision, variant, file or None)


def locate(source: ModelSource) -> Path:
    """Return the folder that holds the model on this machine; nothing is downloaded.

    Raises:
        DataError: it is not here; the message names the command that gets it.
        ConfigError: `huggingface_hub` is not installed.
    """
    if source.revision is None:
        folder = Path(source.where)
        if not folder.is_dir():
            raise DataError(f"model folder {source.where}: not a folder", wanted=_EXAMPLE)
        return folder
    hub = _hub()
    try:
        return Path(
            hub.snapshot_download(
                source.where, revision=source.revision, allow_patterns=_patterns(source), local_files_only=True
            )
        )
    except hub.errors.LocalEntryNotFoundError as error:
        raise DataError(f"{source} is not on this machine", next_step=source.fetch_command) from error


def locate_file(source: ModelSource) -> Path:
    """Return the one safetensors file that `source` names, or the only one that lies in its folder.

    Raises:
        DataError: it is not here, or the folder holds several or none; the message tells their names.
        ConfigError: `huggingface_hub` is not installed.
    """
    folder = locate(source)
    if source.file is not None:
        path = folder / source.file
        if not path.is_file():
            raise DataError(
                f"{source}: no such file on this machine", next_step=source.fetch_command if source.revision else ""
            )
        return path
    found = sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        names = ", ".join(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors"))[:8])
        raise DataError(
            f"{source} holds {len(found)} files *.safetensors in its top folder"
            + (f"; in all: {names}" if names else ""),
            wanted=f"the name of one: {source}/NAME.safetensors",
        )
    return found[0]


def fetch(source: ModelSource) -> Path:
    """Download a model from the hub into its cache and return the folder; one that is there already is not read anew.

    Raises:
        ConfigError: the source is a folder, or `huggingface_hub` is not installed.
        DataError: the hub does not have the commit, wants a consent or a login for it, or cannot be reached.
    """
    if source.revision is None:
        raise ConfigError(f"{source.where} is a folder: there is nothing to fetch", wanted="hub:owner/name@commit")
    hub = _hub()
    try:
        return Path(hub.snapshot_download(source.where, revision=source.revision, allow_patterns=_patterns(source)))
    except hub.errors.GatedRepoError as error:
        raise DataError(
            f"{source}: its owner wants a consent before it is downloaded",
            next_step="give it on the repository's page, then: hf auth login",
        ) from error
    except (hub.errors.RepositoryNotFoundError, hub.errors.RevisionNotFoundError) as error:
        raise DataError(f"{source}: the hub has no such repository or commit", wanted=_EXAMPLE) from error
    except (hub.errors.HfHubHTTPError, hub.errors.LocalEntryNotFoundError, OSError) as error:
        raise DataError(
            f"{source}: the hub cannot be reached ({type(error).__name__})",
            next_step="check the connection, or copy the model's folder here and name its path",
        ) from error


def _patterns(source: ModelSource) -> list[str]:
    """Return what is taken of a repository: all that is no code; or one file, and the card that tells its licence."""
    return list(_FILES) if source.file is None else [source.file, "README.md"]


def _hub() -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise ConfigError(
            "models on the hub need huggingface_hub", next_step="pip install 'spooflab[diffusion]'"
        ) from error
    return huggingface_hub
