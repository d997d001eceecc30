"""How a model on the hub is named: its repository, and one full commit of it, because a branch or a tag may move."""

import re

from spooflab.errors import ConfigError

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_repository(text: str) -> bool:
    """Say whether `text` has the form `owner/name`."""
    return _REPOSITORY.fullmatch(text) is not None


def checked_commit(commit: str | None, repository: str, *, seen: str, wanted: str) -> str:
    """Return `commit` if it is a whole one: 40 hexadecimal digits, in lower case as git prints them.

    Args:
        commit: what stands where a commit is wanted; None where nothing does.
        repository: `owner/name`, for the command that finds a commit.
        seen: what the error is about, naming the key and its value.
        wanted: how it is spelt right there.

    Raises:
        ConfigError: it is none, or a branch, a tag or a part of a commit: these may point elsewhere tomorrow, and
            nobody could then say what was used.
    """
    if commit is None or not _COMMIT.fullmatch(commit):
        command = f"from huggingface_hub import model_info; print(model_info('{repository}').sha)"
        raise ConfigError(
            f"{seen} names no full commit",
            wanted=wanted,
            next_step=f'python -c "{command}" prints the newest one; a branch, a tag or a short commit may move',
        )
    return commit
