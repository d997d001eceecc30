"""Where a backbone comes from: a preset, a folder, or the hub at one commit that never moves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spooflab.adapters.presets import PRESETS
from spooflab.errors import ConfigError
from spooflab.hub_commit import checked_commit, is_repository

if TYPE_CHECKING:
    from spooflab.adapters.train_config import BackboneConfig

_FILES = ("config.json", "preprocessor_config.json", "adapter_config.json", "model.safetensors*", "model-*.safetensors")
"""What is taken of a repository on the hub: no code, and no weights that are a pickle."""


def check_source(config: BackboneConfig) -> None:
    """Refuse a backbone that is not named so that it stays the same; nothing is downloaded.

    Raises:
        ConfigError: neither a preset, a folder nor a hub id; a hub id without its full commit; a commit where nothing
            could obey it; options of what is no preset.
    """
    name, revision = config.name, config.revision
    if name in PRESETS or Path(name).is_dir():
        if revision is not None:
            kind = "a preset" if name in PRESETS else "a folder"
            raise ConfigError(
                f"backbone.revision {revision!r} of {name!r}, which is {kind}",
                wanted="a revision with hub ids only",
                next_step="remove the key `revision`",
            )
    elif is_repository(name):
        checked_commit(
            revision,
            name,
            seen=f"backbone.revision {revision!r} of {name!r}, which is no folder here and so a hub id,",
            wanted="backbone.revision: 40 hexadecimal digits of a commit",
        )
    else:
        raise ConfigError(
            f"backbone {name!r} is neither a preset nor a folder",
            wanted=f"one of {', '.join(PRESETS)}, a local folder, or a hub id `owner/model` with its commit",
        )
    if config.options and name not in PRESETS:
        raise ConfigError(f"backbone {name!r}: options {sorted(config.options)}", wanted="options with presets only")


def backbone_folder(config: BackboneConfig) -> Path:
    """Return the folder with a backbone's files; those of a hub id are downloaded into the hub's cache, once.

    Raises:
        ConfigError: the hub does not have them, or cannot be reached.
    """
    if config.revision is None:
        return Path(config.name)
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            huggingface_hub.snapshot_download(config.name, revision=config.revision, allow_patterns=list(_FILES))
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ConfigError(
            f"backbone {config.name!r} (revision {config.revision}): {str(error).splitlines()[0]}",
            wanted="a repository and commit of the hub with config.json and model.safetensors",
            next_step="offline, download it once elsewhere and name the folder; or use a preset: " + ", ".join(PRESETS),
        ) from error
