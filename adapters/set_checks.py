"""What a training asks of its image sets, and what its algorithm may not be given."""

from spooflab.adapters.algorithms import ALGORITHMS
from spooflab.adapters.image_set import ImageSet
from spooflab.adapters.train_config import TrainConfig
from spooflab.errors import ConfigError, DataError


def check_labelled(name: str, images: ImageSet, size: int) -> None:
    """Raise `DataError` unless the set has images of the training size, of both classes."""
    _check_images(name, images, size)
    for label, word in ((0, "attack"), (1, "bona fide")):
        if not bool((images.labels == label).any()):
            raise DataError(f"{name} set of {len(images)} has no {word} image", wanted="images of both classes")


def check_maps(config: TrainConfig, train: ImageSet) -> None:
    """Raise `DataError` where pixel-wise supervision is asked for and the training images do not come with maps."""
    if config.pixel.needs_maps and train.maps is None:
        raise DataError(
            "train images without maps, and pixel losses that learn them",
            wanted="`ImageSet.load(..., maps=True)`; or pixel: {mask_target: uniform} and depth_weight 0",
        )


def check_step(config: TrainConfig, keep: int | None) -> None:
    """Raise `ConfigError` where the weights of one step are asked for, and another rule of the training chooses."""
    if keep is None:
        return
    if config.averaging.kind == "swad" or config.patience is not None:
        raise ConfigError(
            f"keep {keep} with averaging {config.averaging.kind} and patience {config.patience}",
            wanted="a training of fixed length: no patience, and averaging none or ema",
        )
    if not (0 < keep <= config.steps and (keep % config.eval_every == 0 or keep == config.steps)):
        raise ConfigError(f"keep {keep}", wanted=f"a multiple of eval_every {config.eval_every} up to {config.steps}")


def check_target(config: TrainConfig, target: ImageSet | None, train: ImageSet, dev: ImageSet) -> None:
    """Hold the target to the algorithm's setting: needed for adaptation, refused by all others."""
    setting = ALGORITHMS[config.algorithm].setting
    if setting != "adaptation":
        if target is not None:
            raise ConfigError(
                f"{config.algorithm} is of setting {setting!r} and was given {len(target)} target images",
                wanted="no target: an algorithm must not see more than its setting says",
            )
        return
    if target is None:
        raise ConfigError(
            f"{config.algorithm} adapts to a target and was given none",
            wanted="unlabelled images: `fit(..., target=…)`",
        )
    _check_images("target", target, config.size)
    for name, images in (("train", train), ("dev", dev)):
        shared = sorted(set(target.keys) & set(images.keys))
        if shared:
            raise DataError(
                f"{len(shared)} target images are in {name} as well, first {shared[0]!r}",
                wanted="a target that shares no image with train and dev, whose labels are seen",
            )


def _check_images(name: str, images: ImageSet, size: int) -> None:
    if not len(images):
        raise DataError(f"{name} set is empty", wanted="images")
    if tuple(images.images.shape[-2:]) != (size, size):
        raise DataError(
            f"{name} images are {tuple(images.images.shape[-2:])}", wanted=f"size {size}×{size}, as the config says"
        )
