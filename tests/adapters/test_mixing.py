"""Style and image mixing against NumPy loops, finite differences and their limits."""

import math

import numpy as np
import pytest
import torch
from conformance import LinearBackbone, batch, log_softmax, numeric_gradient
from stages import StagedBackbone, picture_batch, staged, staged_logits
from torch import nn

from spooflab.adapters import DSU, ERM, Batch, CrossNorm, EFDMix, FourierMix, MixStyle, Mixup
from spooflab.adapters.crossnorm import draw_box, swap_statistics
from spooflab.adapters.dsu import perturb_statistics
from spooflab.adapters.efdmix import mix_ranks
from spooflab.adapters.fourier_mix import swap_amplitudes
from spooflab.adapters.mixstyle import mix_style
from spooflab.adapters.stage_change import cross_domain_partners, draw_partners
from spooflab.errors import ConfigError
from spooflab.seeds import generator, seed

STYLE = [MixStyle, EFDMix, DSU, CrossNorm]


@pytest.fixture(autouse=True)
def _own_rng():
    with torch.random.fork_rng(devices=[]):
        yield


def cross_entropy(logits: np.ndarray, label: torch.Tensor) -> np.ndarray:
    return -log_softmax(logits)[np.arange(len(label)), label.numpy()]


def maps(seed: int = 0, *shape: int) -> torch.Tensor:
    return torch.randn(*(shape or (4, 3, 5, 2)), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(name: str, data: Batch, layer: int, mix: str = "random") -> np.ndarray:
    """The partners of one stage, drawn again."""
    gen = generator(data.seed, name, layer)
    torch.rand((), generator=gen)
    return draw_partners(mix, data.domain, gen).numpy()


def beta_draws(alpha: float, size: int, *names: object) -> np.ndarray:
    return np.random.default_rng(seed(*names)).beta(alpha, alpha, size)


def efdmix_loop(x: np.ndarray, weight: np.ndarray, partner: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    for i in range(len(x)):
        for c in range(x.shape[1]):
            own, other = x[i, c].ravel(), np.sort(x[partner[i], c].ravel())
            rank = [int((own < value).sum()) for value in own]  # all values differ
            out[i, c] = (weight[i] * own + (1 - weight[i]) * other[rank]).reshape(x.shape[2:])
    return out


@pytest.mark.parametrize("mix", ["random", "crossdomain"])
def test_efdmix_loss_is_the_loop_of_the_paper(mix: str):
    model, data = staged(EFDMix, probability=1.0, alpha=0.5, mix=mix), picture_batch()
    changes = {
        layer: lambda x, layer=layer: efdmix_loop(
            x, beta_draws(0.5, len(data), data.seed, "efdmix", layer, "beta"), drawn("efdmix", data, layer, mix)
        )
        for layer in (0, 1)
    }
    expected = cross_entropy(staged_logits(model, data.images.numpy(), changes), data.label).mean()
    assert model.update(data)["loss"].item() == pytest.approx(expected, rel=1e-12)


def test_efdmix_takes_over_the_whole_distribution():
    x, partner = maps(), torch.tensor([1, 2, 3, 0])
    swapped = mix_ranks(x, torch.zeros(4), partner)
    # Every moment is the partner's, and the order is the image's own.
    torch.testing.assert_close(swapped.flatten(2).sort(2).values, x[partner].flatten(2).sort(2).values)
    assert torch.equal(swapped.flatten(2).argsort(2), x.flatten(2).argsort(2))
    torch.testing.assert_close(mix_ranks(x, torch.ones(4), partner), x)
    matched = mix_style(x, torch.zeros(4), partner)  # two moments only
    assert not torch.allclose(matched.flatten(2).sort(2).values, swapped.flatten(2).sort(2).values, atol=1e-3)


def test_efdmix_gradient_passes_both_ways():
    x = maps(1, 2, 1, 3, 1).requires_grad_()
    weight, partner = torch.tensor([0.25, 0.75], dtype=torch.float64), torch.tensor([1, 0])
    slope = maps(2, 2, 1, 3, 1)
    (mix_ranks(x, weight, partner) * slope).sum().backward()
    expected = slope.numpy().copy()  # straight through
    values = x.detach().numpy()[:, 0, :, 0]
    for i in (0, 1):
        for r in range(3):
            here, there = np.argsort(values[i])[r], np.argsort(values[1 - i])[r]
            expected[1 - i, 0, there, 0] += (1 - float(weight[i])) * slope[i, 0, here, 0].item()
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)


def dsu_loop(x: np.ndarray, noise: np.ndarray) -> np.ndarray:
    mu = x.mean((2, 3))
    sigma = np.sqrt(x.var((2, 3), ddof=1) + 1e-6)
    spread_mu = np.sqrt(mu.var(0, ddof=1) + 1e-6)
    spread_sigma = np.sqrt(sigma.var(0, ddof=1) + 1e-6)
    out = np.empty_like(x)
    for i in range(len(x)):
        for c in range(x.shape[1]):
            beta = mu[i, c] + noise[0, i, c] * spread_mu[c]
            gamma = sigma[i, c] + noise[1, i, c] * spread_sigma[c]
            out[i, c] = gamma * (x[i, c] - mu[i, c]) / sigma[i, c] + beta
    return out


def dsu_noise(data: Batch, layer: int, channels: int = 4) -> np.ndarray:
    gen = generator(data.seed, "dsu", layer, "noise")
    return torch.randn(2, len(data), channels, generator=gen, dtype=torch.float64).numpy()


def test_dsu_loss_and_gradient():
    model, data = staged(DSU, probability=1.0, factor=0.5, layers=(0, 1)), picture_batch()

    def expected() -> float:
        changes = {i: lambda x, i=i: dsu_loop(x, 0.5 * dsu_noise(data, i)) for i in (0, 1)}
        return cross_entropy(staged_logits(model, data.images.numpy(), changes), data.label).mean()

    loss = model.update(data)["loss"]
    assert loss.item() == pytest.approx(expected(), rel=1e-12)
    loss.backward()
    for part in model.backbone.parts:
        np.testing.assert_allclose(part.weight.grad.numpy(), numeric_gradient(part.weight, expected), atol=1e-8)


def test_dsu_statistics_scatter_as_the_batch_does():
    x = maps(3, 6, 2, 8, 8) * 0.3 + maps(4, 6, 2, 1, 1)
    gen = torch.Generator().manual_seed(0)
    draws = torch.stack([perturb_statistics(x, torch.randn(2, 6, 2, generator=gen)).mean((2, 3)) for _ in range(4000)])
    spread = x.mean((2, 3)).std(0)
    # 24000 draws: the deviation of the deviation is 0.5 %.
    torch.testing.assert_close((draws - x.mean((2, 3))).std((0, 1)), spread, rtol=0.025, atol=0)


def crossnorm_loop(x: np.ndarray, partner: np.ndarray, content=(slice(None),) * 2, style=(slice(None),) * 2):
    out = x.copy()
    for i in range(len(x)):
        for c in range(x.shape[1]):
            patch, other = x[i, c][content], x[partner[i], c][style]
            normal = (patch - patch.mean()) / math.sqrt(patch.var(ddof=1) + 1e-5)
            out[i, c][content] = normal * math.sqrt(other.var(ddof=1) + 1e-5) + other.mean()
    return out


@pytest.mark.parametrize("crop", ["neither", "style", "content", "both"])
def test_crossnorm_loss_and_gradient(crop: str):
    model, data = staged(CrossNorm, probability=1.0, crop=crop), picture_batch(side=6)

    def change(x: np.ndarray, layer: int) -> np.ndarray:
        rng = np.random.default_rng(seed(data.seed, "crossnorm", layer, "boxes"))
        style = {"style": draw_box(6, 6, 1.0, rng)} if crop in ("style", "both") else {}
        content = {"content": draw_box(6, 6, 1.0, rng)} if crop in ("content", "both") else {}
        return crossnorm_loop(x, drawn("crossnorm", data, layer), **style, **content)

    def expected() -> float:
        changes = {i: lambda x, i=i: change(x, i) for i in (0, 1)}
        return cross_entropy(staged_logits(model, data.images.numpy(), changes), data.label).mean()

    loss = model.update(data)["loss"]
    assert loss.item() == pytest.approx(expected(), rel=1e-12)
    loss.backward()
    weight = model.backbone.parts[0].weight
    np.testing.assert_allclose(weight.grad.numpy(), numeric_gradient(weight, expected), atol=1e-8)


def test_crossnorm_takes_over_mean_and_deviation():
    x, partner = maps(0, 4, 3, 8, 8), torch.tensor([1, 2, 3, 0])
    swapped = swap_statistics(x, partner, eps=0.0)
    torch.testing.assert_close(swapped.mean((2, 3)), x[partner].mean((2, 3)))
    torch.testing.assert_close(swapped.std((2, 3)), x[partner].std((2, 3)))
    box = (slice(1, 5), slice(2, 7))
    patched = swap_statistics(x, partner, content=box, eps=0.0)
    changed = (patched != x).any(0).any(0)
    assert changed[box].all()
    assert changed.sum() == 4 * 5


def test_crossnorm_patches_exceed_a_tenth_of_any_map():
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (2, 2), (1, 5), (7, 4), (32, 32)):
        for _ in range(200):
            rows, columns = draw_box(height, width, 1.0, rng)
            assert 0 <= rows.start < rows.stop <= height
            assert 0 <= columns.start < columns.stop <= width
            assert (rows.stop - rows.start) * (columns.stop - columns.start) > 0.1 * height * width


@pytest.mark.parametrize("kind", STYLE)
def test_probability_zero_and_use_are_erm(kind: type):
    layers = (0, 1)
    model, erm, data = staged(kind, probability=0.0, layers=layers), staged(ERM), picture_batch()
    loss, plain = model.update(data)["loss"], erm.update(data)["loss"]
    assert torch.equal(loss, plain)
    loss.backward()
    plain.backward()
    for mine, other in zip(model.parameters(), erm.parameters(), strict=True):
        assert torch.equal(mine.grad, other.grad)
    always = staged(kind, probability=1.0, layers=layers)
    assert not torch.equal(always.update(data)["loss"], plain)
    assert torch.equal(always.train().predict(data.images), erm.predict(data.images))


@pytest.mark.parametrize("kind", STYLE)
def test_styles_take_tokens_as_they_take_maps(kind: type):
    tokens, weight, partner = maps(0, 4, 7, 3), torch.tensor([0.3, 0.5, 0.8, 0.1]), torch.tensor([1, 2, 3, 0])
    noise = maps(5, 2, 4, 3)
    change = {
        MixStyle: lambda x: mix_style(x, weight, partner),
        EFDMix: lambda x: mix_ranks(x, weight, partner),
        DSU: lambda x: perturb_statistics(x, noise),
        CrossNorm: lambda x: swap_statistics(x, partner),
    }[kind]
    as_map = change(tokens.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)
    torch.testing.assert_close(change(tokens), as_map)


@pytest.mark.parametrize("kind", STYLE)
@pytest.mark.parametrize("size", [1, 3])
def test_single_positions_and_lone_images_are_finite(kind: type, size: int):
    model, data = staged(kind, probability=1.0, layers=(0, 1)), picture_batch(size, side=1)
    loss = model.update(data)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("kind", [MixStyle, EFDMix, CrossNorm])
def test_crossdomain_does_not_care_how_domains_are_numbered(kind: type):
    model, data = staged(kind, probability=1.0, mix="crossdomain"), picture_batch()
    renamed = Batch(data.images, data.label, torch.tensor([2, 0, 1])[data.domain], seed=data.seed)
    assert torch.equal(model.update(data)["loss"], model.update(renamed)["loss"])


@pytest.mark.parametrize("kind", [MixStyle, EFDMix, CrossNorm])
def test_crossdomain_with_one_domain_mixes_an_image_with_itself(kind: type):
    model, erm, data = staged(kind, probability=1.0, mix="crossdomain"), staged(ERM), picture_batch(domains=1)
    torch.testing.assert_close(model.update(data)["loss"], erm.update(data)["loss"], rtol=1e-12, atol=0)


def fourier_loop(x: np.ndarray, y: np.ndarray, share: float, cycles: int) -> np.ndarray:
    """The full complex spectrum, as both papers write it."""
    out = np.empty_like(x)
    for c in range(x.shape[0]):
        own, other = np.fft.fftshift(np.fft.fft2(x[c])), np.fft.fftshift(np.fft.fft2(y[c]))
        amplitude, phase = np.abs(own), np.angle(own)
        h, w = x.shape[1] // 2, x.shape[2] // 2
        square = (slice(h - cycles, h + cycles + 1), slice(w - cycles, w + cycles + 1))
        amplitude[square] = (1 - share) * amplitude[square] + share * np.abs(other)[square]
        out[c] = np.fft.ifft2(np.fft.ifftshift(amplitude * np.exp(1j * phase))).real
    return out.clip(0, 1)


@pytest.mark.parametrize("share", ["uniform", "constant"])
def test_fourier_mix_loss(share: str):
    options = {"probability": 0.6, "beta": 0.2, "alpha": 0.8, "share": share}
    model = FourierMix(LinearBackbone(3 * 10 * 8), num_domains=3, **options).double()
    gen = torch.Generator().manual_seed(6)
    images = torch.rand(8, 3, 10, 8, generator=gen, dtype=torch.float64)
    data = Batch(images, torch.arange(8) % 2, torch.arange(8) % 3, seed=3)
    draw = generator(3, "fourier_mix")
    partner, draws = cross_domain_partners(data.domain, draw), torch.rand(2, 8, generator=draw, dtype=torch.float64)
    x = images.numpy()
    mixed = x.copy()
    for i in torch.nonzero(draws[0] < 0.6)[:, 0].tolist():
        weight = 0.8 * float(draws[1, i]) if share == "uniform" else 0.8
        mixed[i] = fourier_loop(x[i], x[partner[i]], weight, cycles=1)  # 0.2 of 8, cut
    features = np.tanh(mixed.reshape(8, -1) @ model.backbone.weight.detach().numpy().T)
    logits = features @ model.head.weight.detach().numpy().T + model.head.bias.detach().numpy()
    update = model.update(data)
    assert update["loss"].item() == pytest.approx(cross_entropy(logits, data.label).mean(), rel=1e-10)
    assert 0 < update["mixed"].item() == (draws[0] < 0.6).float().mean().item()


def test_fourier_swap_with_itself_gives_the_image_back():
    images = picture_batch(3, side=16).images
    rows = torch.arange(3)
    torch.testing.assert_close(swap_amplitudes(images, rows, rows, torch.ones(3), 0.2), images, rtol=0, atol=1e-12)
    assert swap_amplitudes(images, rows[:0], rows[:0], torch.ones(0), 0.2) is images


def mixup_loss(model: nn.Module, data: Batch, alpha: float) -> float:
    partner = draw_partners("crossdomain", data.domain, generator(data.seed, "mixup")).numpy()
    weight = beta_draws(alpha, len(data), data.seed, "mixup", "beta")
    x, total = data.images.flatten(1).numpy(), 0.0
    for i in range(len(data)):
        features = np.tanh(
            model.backbone.weight.detach().numpy() @ (weight[i] * x[i] + (1 - weight[i]) * x[partner[i]])
        )
        scores = log_softmax((model.head.weight.detach().numpy() @ features + model.head.bias.detach().numpy())[None])[
            0
        ]
        total -= weight[i] * scores[data.label[i]] + (1 - weight[i]) * scores[data.label[partner[i]]]
    return total / len(data)


def test_mixup_loss_and_gradient():
    torch.manual_seed(0)
    model, data = Mixup(LinearBackbone(), num_domains=3, alpha=0.7).double(), batch()
    loss = model.update(data)["loss"]
    assert loss.item() == pytest.approx(mixup_loss(model, data, 0.7), rel=1e-12)
    loss.backward()
    weight = model.backbone.weight
    numeric = numeric_gradient(weight, lambda: mixup_loss(model, data, 0.7))
    np.testing.assert_allclose(weight.grad.numpy(), numeric, atol=1e-8)


@pytest.mark.parametrize(("kind", "options"), [(Mixup, {}), (FourierMix, {}), (FourierMix, {"probability": 0.0})])
def test_image_mixing_without_partners_is_erm(kind: type, options: dict[str, float]):
    model, erm = staged(kind, **options), staged(ERM)
    data = picture_batch(domains=3 if options else 1)
    assert torch.equal(model.update(data)["loss"], erm.update(data)["loss"])
    lone = picture_batch(1)
    assert torch.equal(model.update(lone)["loss"], erm.update(lone)["loss"])


def test_mixup_of_one_domain_can_be_the_plain_one():
    model, erm, data = staged(Mixup, mix="random"), staged(ERM), picture_batch(domains=1)
    assert not torch.equal(model.update(data)["loss"], erm.update(data)["loss"])


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (EFDMix, {"alpha": 0.0}, "efdmix: alpha 0.0"),
        (EFDMix, {"mix": "all"}, "random, crossdomain"),
        (EFDMix, {"layers": (2,)}, r"efdmix: layers \[2\]"),
        (DSU, {"factor": -1.0, "layers": (0,)}, "dsu: factor -1.0"),
        (DSU, {}, "stages in 0…1"),
        (CrossNorm, {"probability": 1.5}, "crossnorm: probability 1.5"),
        (CrossNorm, {"crop": "all"}, "neither, style, content, both"),
        (CrossNorm, {"beta": 0.0}, "crossnorm: beta 0.0"),
        (FourierMix, {"beta": 0.5}, "beta 0.5"),
        (FourierMix, {"alpha": 0.0}, "alpha 0.0"),
        (FourierMix, {"share": "half"}, "uniform, constant"),
        (Mixup, {"alpha": 0.0}, "mixup: alpha 0.0"),
        (Mixup, {"mix": "all"}, "random, crossdomain"),
    ],
)
def test_bad_hyper_parameters(kind: type, options: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        kind(StagedBackbone(), num_domains=3, **options)


def test_crossnorm_has_no_patches_of_tokens():
    model = staged(CrossNorm, crop="both")
    with pytest.raises(ConfigError, match="neither"):
        model._boxes(maps(0, 2, 7, 3), 0)
