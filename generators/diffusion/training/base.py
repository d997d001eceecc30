"""What a base brings beside its pipeline: the identity encoder that its adapter understands, and the judges."""

from pathlib import Path

from spooflab.errors import ConfigError
from spooflab.generators.diffusion.identity_net import (
    IDENTITY_FOLDER,
    IDENTITY_JUDGE,
    IdentityNet,
    load_identity,
)
from spooflab.generators.diffusion.model_source import locate, parse_source
from spooflab.generators.diffusion.training.config import DiffusionTrainConfig
from spooflab.generators.diffusion.training.material import FILE, MaterialNet, load_material


def make_identity(config: DiffusionTrainConfig) -> IdentityNet:
    """Return the base's identity encoder, or a new one.

    Raises:
        ConfigError: the base's has another width than `shape.identity`; or it has none and none is to be trained.
        DataError: the base's is damaged.
    """
    width = config.shape.identity
    if config.base is None:
        return IdentityNet(width)
    folder = _folder(config.base) / IDENTITY_FOLDER
    if not folder.is_dir():
        if config.identity.steps == 0:
            raise ConfigError(
                f"base {config.base} has no {IDENTITY_FOLDER}, and identity.steps is 0",
                wanted="an encoder: steps to train one, or a base with its own",
            )
        return IdentityNet(width)
    net, _ = load_identity(folder)
    if net.width != width:
        raise ConfigError(f"shape.identity is {width}", wanted=f"{net.width}, which {folder} makes")
    return net.requires_grad_(True)


def make_identity_judge(config: DiffusionTrainConfig) -> IdentityNet | None:
    """Return the base's judge of identities, or a new one; None where none is to be trained and the base has none.

    Raises:
        DataError: the base's is damaged.
    """
    if config.base is not None and (_folder(config.base) / IDENTITY_JUDGE).is_dir():
        net, _ = load_identity(_folder(config.base) / IDENTITY_JUDGE)
        return net.requires_grad_(True)
    return IdentityNet(config.shape.identity) if config.identity.steps else None


def make_judge(config: DiffusionTrainConfig) -> MaterialNet | None:
    """Return the base's judge of materials, or a new one; None where none is to be trained and the base has none.

    Raises:
        DataError: the base's is damaged.
    """
    if config.base is not None and (_folder(config.base) / FILE).is_file():
        net, _ = load_material(_folder(config.base))
        return net.requires_grad_(True)
    return MaterialNet() if config.material.steps else None


def _folder(base: str) -> Path:
    return locate(parse_source(base))
