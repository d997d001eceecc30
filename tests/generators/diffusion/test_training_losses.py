"""What the stages minimise, against plain loops, published formulas and diffusers' own inpainting."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, StableDiffusionControlNetInpaintPipeline
from torch import Tensor, nn

from spooflab.errors import ConfigError
from spooflab.generators.diffusion.identity_net import IdentityNet
from spooflab.generators.diffusion.training.config import Parts as How
from spooflab.generators.diffusion.training.config import Plan
from spooflab.generators.diffusion.training.denoiser import DenoiserStage, encode
from spooflab.generators.diffusion.training.examples import FACE, Examples
from spooflab.generators.diffusion.training.identity import IdentityStage, altered, contrast, views
from spooflab.generators.diffusion.training.loop import rate_at
from spooflab.generators.diffusion.training.material import MaterialNet, MaterialStage
from spooflab.generators.diffusion.training.parts import Parts, make_parts
from spooflab.generators.diffusion.training.vae import VaeStage, scaling_factor
from spooflab.seeds import generator


@pytest.fixture
def parts(training: Any) -> Parts:
    torch.manual_seed(0)
    return make_parts(training)


def test_contrast_is_the_mean_over_all_views() -> None:
    """Chen et al. 2020, eq. 1, in float64."""
    half, embedded = 5, nn.functional.normalize(torch.randn(10, 7, generator=generator(1, "e")), dim=-1)
    z, total = embedded.double().numpy(), 0.0
    for i in range(2 * half):
        j = (i + half) % (2 * half)
        others = [math.exp(z[i] @ z[k] / 0.1) for k in range(2 * half) if k != i]
        total -= math.log(math.exp(z[i] @ z[j] / 0.1) / sum(others))
    assert float(contrast(embedded)) == pytest.approx(total / (2 * half), rel=1e-5)


def test_two_views_are_of_one_person_and_never_the_same_where_there_are_two(examples: Examples) -> None:
    found = views(examples)
    assert [len(rows) for rows in found] == [2, 2, 2]
    stage = IdentityStage(IdentityNet(8), examples)
    torch.manual_seed(0)
    for rows in found:
        assert len({examples.subject[row] for row in rows}) == 1
    batch = stage.draw(64, generator(1, "views"))
    assert batch["first"].shape == batch["second"].shape == (3, 3, 64, 64)  # no more than there are people
    assert {"contrast"} == set(stage(**batch))


def test_views_differ_as_pictures_of_cameras_do(examples: Examples) -> None:
    faces = torch.from_numpy(examples.likeness[:4]).float() / 255
    seen = altered(faces, generator(1, "a"))
    assert torch.equal(seen, altered(faces, generator(1, "a")))
    assert 0 <= float(seen.min()) <= float(seen.max()) <= 1
    assert float((seen - faces).abs().mean()) > 0.01
    rows = [np.corrcoef(a.mean(0).flatten(), b.mean(0).flatten())[0, 1] for a, b in zip(seen, faces, strict=True)]
    assert min(rows) > 0.7


def test_one_person_cannot_be_told_apart(examples: Examples) -> None:
    one = Examples(**{name: value[:1] for name, value in vars(examples).items()})
    with pytest.raises(ConfigError, match="1 people"):
        IdentityStage(IdentityNet(8), one)


def test_losses_of_the_autoencoder(parts: Parts, examples: Examples) -> None:
    stage = VaeStage(parts.vae, examples)
    batch = stage.draw(3, generator(1, "vae"))
    with torch.no_grad():
        losses = stage(**batch)
        latent = parts.vae.encode(batch["picture"]).latent_dist
        made = parts.vae.decode(latent.mean + (latent.logvar / 2).exp() * batch["noise"]).sample.double().numpy()
    picture, mean, logvar = (t.double().numpy() for t in (batch["picture"], latent.mean, latent.logvar))
    divergence = [0.5 * (m**2 + np.exp(v) - 1 - v).sum() for m, v in zip(mean, logvar, strict=True)]
    edges = sum(np.abs(np.diff(made, axis=a) - np.diff(picture, axis=a)).mean() for a in (-1, -2))
    assert float(losses["pixels"]) == pytest.approx(np.abs(made - picture).mean(), rel=1e-4)
    assert float(losses["edges"]) == pytest.approx(edges, rel=1e-4)
    assert float(losses["divergence"]) == pytest.approx(1e-6 * np.mean(divergence), rel=1e-4)
    assert -1 <= float(batch["picture"].min()) <= float(batch["picture"].max()) <= 1


def test_latents_are_scaled_to_unit_variance(parts: Parts, examples: Examples) -> None:
    factor = scaling_factor(parts.vae, examples)
    parts.vae.register_to_config(scaling_factor=factor)
    assert float(encode(parts.vae, examples)[0].float().std()) == pytest.approx(1, abs=0.01)


class _Silent(nn.Module):
    """Stands for UNet or ControlNet and predicts 0, so that the loss is what is wanted of it."""

    def forward(self, noisy: Tensor, *_: object, **given: Any) -> Any:
        if "controlnet_cond" in given:
            return None, None
        return SimpleNamespace(sample=torch.zeros_like(noisy[:, :4]))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_weights_of_times(parts: Parts, examples: Examples, kind: str) -> None:
    """Hang et al. 2023, sec. 3.4: min(SNR, 5) / SNR of the noise's error; the velocity's error as it is."""
    parts.scheduler.register_to_config(prediction_type=kind)
    stage = DenoiserStage(parts, IdentityNet(8), examples, How())
    batch = stage.draw(6, generator(1, "draw"))
    batch["time"] = torch.tensor([0, 3, 150, 400, 700, 999])
    stage.unet, stage.controlnet = _Silent(), _Silent()
    seen = float(stage(**batch)["denoising"])
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    kept, losses = np.cumprod(1 - betas), list[float]()
    x, e, region = (batch[name].double().numpy() for name in ("latent", "noise", "region"))
    for row, time in enumerate(batch["time"].tolist()):
        a = kept[time]
        snr = a / (1 - a)
        wanted = e[row] if kind == "epsilon" else a**0.5 * e[row] - (1 - a) ** 0.5 * x[row]
        weight = np.where(region[row] > 0, 1.0, 0.1)
        error = (weight / weight.mean() * wanted**2).mean()
        losses.append((min(snr, 5) / snr if kind == "epsilon" else 1) * error)
    assert seen == pytest.approx(np.mean(losses), rel=1e-3)


def test_noise_cannot_be_predicted_where_there_is_nothing_else(parts: Parts, examples: Examples) -> None:
    parts.scheduler = DDIMScheduler(beta_schedule="scaled_linear", rescale_betas_zero_snr=True)
    with pytest.raises(ConfigError, match="noise is predicted"):
        DenoiserStage(parts, IdentityNet(8), examples, How())
    parts.scheduler = DDIMScheduler(prediction_type="sample")
    with pytest.raises(ConfigError, match="prediction type sample"):
        DenoiserStage(parts, IdentityNet(8), examples, How())


def test_masks_get_no_identity_and_some_faces_neither(parts: Parts, examples: Examples) -> None:
    stage = DenoiserStage(parts, IdentityNet(8), examples, How())
    batch = stage.draw(400, generator(1, "shares"))
    rows = torch.randint(0, len(examples), (400,), generator=generator(1, "shares"))
    nobody = (batch["identity"] == 0).all(-1)
    mask = torch.from_numpy(examples.kind != FACE)[rows]
    assert bool(nobody[mask].all())
    assert 0.05 < float(nobody[~mask].float().mean()) < 0.28  # 0.15 of some 150
    words = (batch["tokens"] != stage._silent).any(-1)
    assert 0.84 < float(words.float().mean()) < 0.96
    torch.testing.assert_close(batch["identity"][~nobody].norm(dim=-1), torch.ones(int((~nobody).sum())))


def test_masks_and_masked_latents_are_what_the_pipeline_prepares(parts: Parts, examples: Examples) -> None:
    """An autoencoder without spread: the pipeline draws its latents, training takes their mean."""
    with torch.no_grad():
        parts.vae.quant_conv.weight[4:] = 0
        parts.vae.quant_conv.bias[4:] = -30
    pipeline = StableDiffusionControlNetInpaintPipeline(
        vae=parts.vae, text_encoder=parts.text_encoder, tokenizer=parts.tokenizer, unet=parts.unet,
        controlnet=parts.controlnet, scheduler=parts.scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    stage = DenoiserStage(parts, IdentityNet(8), examples, How())
    batch = stage.draw(5, generator(1, "draw"))
    rows = torch.randint(0, len(examples), (5,), generator=generator(1, "draw")).numpy()
    picture = pipeline.image_processor.preprocess(torch.from_numpy(examples.picture[rows]).float() / 255)
    mask = pipeline.mask_processor.preprocess(torch.from_numpy(examples.region[rows])[:, None].float() / 255)
    with torch.no_grad():
        wanted, masked = pipeline.prepare_mask_latents(
            mask, picture * (mask < 0.5), 5, 32, 32, torch.float32, torch.device("cpu"), torch.Generator(), False
        )
    assert torch.equal(batch["region"], wanted)
    torch.testing.assert_close(batch["masked"], masked, atol=2e-3, rtol=2e-3)  # kept in half precision
    torch.testing.assert_close(batch["condition"], torch.from_numpy(examples.condition[rows]).float() / 255)


def test_noise_is_added_as_training_scripts_add_it(parts: Parts, examples: Examples) -> None:
    stage = DenoiserStage(parts, IdentityNet(8), examples, How())
    assert isinstance(stage._scheduler, DDPMScheduler)
    assert torch.equal(stage._scheduler.alphas_cumprod, parts.scheduler.alphas_cumprod)


def test_only_what_learns_is_trained(parts: Parts, examples: Examples) -> None:
    frozen = How.model_construct(unet="frozen", text_encoder="frozen", controlnet="frozen", adapter=True, rank=8)
    stage = DenoiserStage(parts, IdentityNet(8), examples, frozen)
    names = {name for name, p in stage.named_parameters() if p.requires_grad}
    assert names
    assert all("encoder_hid_proj" in name or "_ip." in name for name in names)
    with pytest.raises(ConfigError, match="every part is frozen"):
        DenoiserStage(parts, IdentityNet(8), examples, frozen.model_copy(update={"adapter": False}))


def test_the_judge_learns_masks_alone(examples: Examples) -> None:
    torch.manual_seed(0)
    stage = MaterialStage(MaterialNet(), examples)
    batch = stage.draw(9, generator(1, "judge"))
    assert batch["pictures"].shape == (9, 3, 32, 32)
    assert float(stage(**batch)["naming"].detach()) == pytest.approx(math.log(6), abs=0.5)  # knows nothing yet
    faces = examples.kind == FACE
    with pytest.raises(ConfigError, match="no example has a mask"):
        MaterialStage(MaterialNet(), Examples(**{name: value[faces] for name, value in vars(examples).items()}))


@pytest.mark.parametrize(
    ("changes", "step", "share"),
    [
        ({}, 0, 0.1), ({}, 4, 0.5), ({}, 9, 1), ({}, 50, 1), ({}, 80, 1), ({}, 90, 0.5), ({}, 99, 0.05),
        ({"warm": 0}, 0, 1), ({"warm": 1}, 0, 1), ({"cool": 0}, 99, 1), ({"cool": 1, "warm": 0}, 0, 1),
        ({"cool": 1, "warm": 0}, 50, 0.5), ({"warm": 1000}, 99, 0.05), ({"steps": 1, "warm": 0}, 0, 1),
    ],
)  # fmt: skip
def test_rates(changes: dict[str, Any], step: int, share: float) -> None:
    plan = Plan(**{"steps": 100, "warm": 10, "cool": 0.2, "rate": 1e-2, **changes})
    assert rate_at(step, plan) == pytest.approx(share * 1e-2)
