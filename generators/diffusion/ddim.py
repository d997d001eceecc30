"""Deterministic diffusion both ways, with diffusers' DDIM schedulers (Song et al. 2021, section 4.3)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spooflab.errors import ConfigError
from spooflab.generators.diffusion.diffusers_library import diffusers_library

_OF_BOTH = (
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "clip_sample",
    "set_alpha_to_one", "steps_offset", "timestep_spacing", "rescale_betas_zero_snr",
)  # fmt: skip
"""Settings that the two schedulers share; the inverse takes them by name, none from its defaults."""
Predict = Callable[[Tensor, Tensor], Tensor]
"""What the model predicts (noise or v) for latents (B, C, h, w) at a timestep (a tensor without axes)."""


@dataclass(frozen=True)
class DdimPair:
    """The schedulers of `ddim_pair`.

    Attributes:
        inverse: `DDIMInverseScheduler`, from a picture to noise.
        forward: `DDIMScheduler`, back.
    """

    inverse: Any
    forward: Any


def ddim_pair(config: Mapping[str, Any], steps: int) -> DdimPair:
    """Return diffusers' schedulers from a picture to noise and back, set to the same `steps` noise levels.

    The second undoes the first only if both walk over the same levels and convert predictions alike. Their defaults and
    those of other schedulers' configurations break this without a word, so:

    - `clip_sample` is off. It is on by default in both and clamps the clean picture to [-1, 1]: right for pixels, never
      for latents, whose values are beyond, and what is clamped cannot be inverted.
    - `timestep_spacing` is `leading` or `trailing`. The inverse knows no `linspace`, with which DDIM would step from a
      level that is not the one that it last reached; `trailing`, too, begins at the last level.
    - `set_alpha_to_one` and `steps_offset` are the same in both: they say which level is that of the clean picture
      (noise 0, or that of timestep 0) and shift all others.
    - `steps` make even strides. Both step by `num_train_timesteps // steps`; with `trailing` and steps that do not
      divide it, levels lie further apart than that, and each step would begin at another level than the last one ended
      at. With `leading`, 1 000 steps and an offset of 1, the last timestep would lie past the schedule's end.

    `inverse.timesteps[i]` is the level that step i reaches, not the one that its latents have: the inverse takes them
    to be one stride below. The model is asked at the level reached, as DDIM will ask it there on the way back. So what
    it says of v has to be turned into noise with that level's share of noise, while the inverse would take the share
    that the latents have: `invert_latents` turns it, and the inverse is told of noise alone. With a model of Gaussian
    data the way back then ends 2 to 13 times nearer to where it began, as near as if the model predicted noise.

    Args:
        config: of the model's own scheduler, whichever it is.
        steps: of the whole schedule.

    Raises:
        ConfigError: the model predicts neither noise nor v; steps that make no even strides; or noise predicted at a
            level without any picture, which says nothing of it.
    """
    spacing = {"leading": "leading", "trailing": "trailing", "linspace": "trailing"}
    ends = {"clip_sample": False, "timestep_spacing": spacing.get(str(config.get("timestep_spacing")), "leading")}
    library = diffusers_library()
    forward = library.DDIMScheduler.from_config(config, thresholding=False, **ends)
    kept = {key: value for key, value in forward.config.items() if key in _OF_BOTH}
    inverse = library.DDIMInverseScheduler(prediction_type="epsilon", **kept)
    predicts, trained = forward.config.prediction_type, forward.config.num_train_timesteps
    if predicts not in ("epsilon", "v_prediction"):
        raise ConfigError(f"a model that predicts {predicts!r}", wanted="epsilon or v_prediction")
    if not 1 <= steps <= trained:
        raise ConfigError(f"{steps} steps", wanted=f"1 to {trained}, as many as the model was trained with")
    inverse.set_timesteps(steps)
    forward.set_timesteps(steps)
    levels = inverse.timesteps
    assert torch.equal(levels, forward.timesteps.flip(0))
    assert torch.equal(inverse.alphas_cumprod, forward.alphas_cumprod)
    assert inverse.initial_alpha_cumprod == forward.final_alpha_cumprod
    if (
        len(levels) != steps
        or bool((levels.diff() != trained // steps).any())
        or levels[0] < 0
        or levels[-1] >= trained
    ):
        raise ConfigError(
            f"{steps} steps with {ends['timestep_spacing']!r} timesteps from {int(levels[0])} to {int(levels[-1])}",
            wanted=f"a divisor of {trained}, so that all strides are alike and within the schedule",
        )
    if predicts == "epsilon" and not forward.alphas_cumprod[levels[-1]] > 0:
        raise ConfigError("a model that predicts noise where nothing but noise is", wanted="v_prediction")
    return DdimPair(inverse, forward)


def even_steps(config: Mapping[str, Any], least: int) -> int:
    """Return the fewest steps, `least` or more, that make even strides of a schedule, as `ddim_pair` wants them.

    Args:
        config: of a scheduler.
        least: 1 or more; more than the schedule has count as all of it.
    """
    trained = int(config["num_train_timesteps"])
    return next(count for count in range(min(least, trained), trained + 1) if trained % count == 0)


def invert_latents(predict: Predict, latents: Tensor, pair: DdimPair, count: int) -> list[Tensor]:
    """Return the latents at the first `count` levels of more and more noise, the given ones first: `count` + 1.

    A method of first order on the model's probability-flow ODE: its error falls with the number of steps. Latents stay
    in the type that they come in; float32 is right for models of any type.

    Args:
        predict: the model, without guidance: guided predictions are not those of any one distribution, and their
            inverse is no noise that the model knows (Mokady et al. 2023).
        latents: (B, C, h, w), clean.
        pair: of `ddim_pair`.
        count: of steps, 1 to all of them.
    """
    path = [latents]
    for timestep in pair.inverse.timesteps[:count]:
        level = int(timestep)
        noise = predict(path[-1], timestep)
        if pair.forward.config.prediction_type == "v_prediction":
            share = pair.forward.alphas_cumprod[level]
            noise = share.sqrt() * noise + (1 - share).sqrt() * path[-1]
        path.append(pair.inverse.step(noise, level, path[-1]).prev_sample)
    return path


def denoise_latents(predict: Predict, path: list[Tensor], pair: DdimPair, keep: Tensor | None = None) -> Tensor:
    """Return clean latents (B, C, h, w), denoised from the last of `path` by as many steps as led there.

    Args:
        predict: the model, guided or not.
        path: what `invert_latents` returned.
        pair: the one that it took.
        keep: (B, 1, h, w), True where the latents of `path` stand at every level, so that what is made anew fits to
            what stays (Couairon et al. 2023, DiffEdit, step 3).
    """
    latents = path[-1]
    below = path[-2::-1]
    for timestep, known in zip(pair.forward.timesteps[-len(below) :], below, strict=True):
        latents = pair.forward.step(predict(latents, timestep), int(timestep), latents).prev_sample
        if keep is not None:
            latents = torch.where(keep, known, latents)
    return latents
