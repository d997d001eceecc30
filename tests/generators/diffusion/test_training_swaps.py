"""Swaps in training: what is painted from noise is diffusers' own DDIM, and who it resembles is the encoder's word."""

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from torch.nn import functional as F

from spooflab.errors import ConfigError
from spooflab.generators.diffusion.identity_crop import SIDE, identity_crop
from spooflab.generators.diffusion.identity_net import IdentityNet
from spooflab.generators.diffusion.training.config import Parts as How
from spooflab.generators.diffusion.training.denoiser import CONDITIONS
from spooflab.generators.diffusion.training.examples import FACE, Examples
from spooflab.generators.diffusion.training.parts import Parts, make_parts
from spooflab.generators.diffusion.training.swap import SwapStage, identity_view
from spooflab.seeds import generator


@pytest.fixture
def parts(training: Any) -> Parts:
    torch.manual_seed(0)
    return make_parts(training)


def _stage(parts: Parts, examples: Examples, how: How | None = None) -> SwapStage:
    torch.manual_seed(1)
    return SwapStage(parts, IdentityNet(8), examples, how or How(), weight=0.5)


def test_the_encoder_is_shown_what_it_was_trained_on(examples: Examples) -> None:
    rows = torch.nonzero(torch.from_numpy(examples.kind == FACE))[:, 0]
    points = torch.from_numpy(examples.points)[rows]
    pictures = torch.from_numpy(examples.picture)[rows].float() / 255
    grid, inner = identity_view(points, pictures.shape[-1])
    seen = F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)
    seen = torch.lerp(torch.full_like(seen, 0.5), seen, inner)
    wanted = torch.cat([identity_crop(pictures[k : k + 1], points[k : k + 1]) for k in range(len(points))])
    assert seen.shape == (len(rows), 3, SIDE, SIDE)
    torch.testing.assert_close(seen, wanted, atol=2e-3, rtol=0)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_a_swap_is_painted_as_diffusers_does(parts: Parts, examples: Examples, kind: str) -> None:
    parts.scheduler.register_to_config(prediction_type=kind)
    stage = _stage(parts, examples)
    batch = stage.draw(2, generator(1, "swap"))
    batch["swap_left"] = torch.full((2,), 0.4)
    with torch.no_grad():
        loss = float(stage(**batch)["unlikeness"])
        told = {name: batch[f"swap_{name}"] for name in CONDITIONS}
        ddim = DDIMScheduler.from_config(parts.scheduler.config, clip_sample=False, set_alpha_to_one=False)
        latent, times = batch["swap_noise"], [999, 699, 400]
        for time, following in zip(times, [*times[1:], None], strict=True):
            made = stage.predicted(latent, torch.full((2,), time), **told)
            ddim.num_inference_steps = 1000 // (time - following) if following is not None else 1
            step = ddim.step(made, time, latent)
            if following is None:
                latent = step.pred_original_sample
                break
            # diffusers' strides are whole divisors of the schedule; ours need not be, so the step is taken by hand.
            level = ddim.alphas_cumprod[following]
            own = ddim.alphas_cumprod[time]
            noise = (latent - own.sqrt() * step.pred_original_sample) / (1 - own).sqrt()
            latent = level.sqrt() * step.pred_original_sample + (1 - level).sqrt() * noise
        picture = parts.vae.decode(latent / parts.vae.config.scaling_factor).sample / 2 + 0.5
        laid = torch.where(batch["swap_painted"] > 0, picture, batch["swap_picture"])
        rows = stage._faces[_targets(stage, 2)]
        points = torch.from_numpy(examples.points)[rows]
        crops = torch.cat([identity_crop(laid[k : k + 1], points[k : k + 1]).clamp(0, 1) for k in range(2)])
        likeness = (stage.encoder(crops) * told["identity"]).sum(1)
    assert loss == pytest.approx(0.5 * float(1 - likeness.mean()), abs=2e-3)


def _targets(stage: SwapStage, batch: int) -> torch.Tensor:
    """Draw once more, past what the denoiser draws."""
    gen = generator(1, "swap")
    super(SwapStage, stage).draw(batch, gen)
    return torch.randint(0, len(stage._faces), (batch,), generator=gen)


def test_the_painter_learns_and_who_judges_does_not(parts: Parts, examples: Examples) -> None:
    stage = _stage(parts, examples)
    learns = {name for name, p in stage.named_parameters() if p.requires_grad}
    assert learns
    assert not [name for name in learns if name.startswith(("vae.", "encoder."))]
    stage(**stage.draw(2, generator(1, "swap")))["unlikeness"].backward()
    # A new adapter's output starts at nothing: its last layers are the first to learn.
    adapter = [p.grad for name, p in stage.named_parameters() if "to_v_ip" in name]
    assert adapter
    assert all(grad is not None and float(grad.abs().max()) > 0 for grad in adapter)


def test_swaps_are_of_bare_faces_told_to_be_others(parts: Parts, examples: Examples) -> None:
    stage = _stage(parts, examples)
    batch = stage.draw(64, generator(1, "swap"))
    own = {name for name in batch if not name.startswith("swap_")}
    assert own == {"latent", "masked", "region", "condition", "tokens", "identity", "noise", "time"}
    assert bool((batch["swap_identity"].norm(dim=-1) > 0.99).all())
    subjects = examples.subject[stage._faces.numpy()]
    targets = _targets(stage, 64)
    told = (batch["swap_identity"][:, None] - stage._identities[stage._faces]).norm(dim=-1).argmin(1)
    others = (subjects[targets.numpy()] != subjects[told.numpy()]).mean()
    assert 0.4 < others < 0.9  # two of three people are another
    assert 0.05 <= float(batch["swap_left"].min()) <= float(batch["swap_left"].max()) <= 0.8
    masks = examples.kind != FACE
    with pytest.raises(ConfigError, match="no example is a bare face"):
        _stage(parts, Examples(**{name: value[masks] for name, value in vars(examples).items()}))


def test_low_rank_updates_of_the_denoiser_are_trained_on(parts: Parts, examples: Examples) -> None:
    pytest.importorskip("peft")
    how = How.model_construct(unet="lora", text_encoder="frozen", controlnet="frozen", adapter=True, rank=2)
    first = {name for name, p in _stage(parts, examples, how).named_parameters() if p.requires_grad}
    again = {name for name, p in _stage(parts, examples, how).named_parameters() if p.requires_grad}
    assert first == again
    assert any(".lora_" in name for name in first)
