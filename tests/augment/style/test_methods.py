"""Each style transfer against an independent reference and the properties that define it."""

import numpy as np
import pytest
import torch

from spooflab.augment.style import (
    AmplitudeMix,
    HistogramMatch,
    LinearTransport,
    ReinhardTransfer,
    SlicedTransport,
    level_cdf,
    linear_transport,
    low_amplitude,
    match_levels,
    measure,
    mix_amplitude,
    reinhard_transfer,
    sliced_transport,
)
from spooflab.augment.style.lalphabeta import from_lalphabeta, to_lalphabeta
from spooflab.augment.style.reinhard import moments
from spooflab.augment.style.sliced_transport import draw_rotations
from spooflab.augment.style.transport import colour_moments, transport_matrix
from spooflab.errors import ConfigError, DataError

ONE = torch.ones(3)


def _gen() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_amplitude_mix_is_fda_on_the_whole_spectrum(pictures: torch.Tensor) -> None:
    # Yang and Soatto's recipe, spelled out in NumPy: swap a centred square of the shifted amplitude.
    target = pictures.flip(0)
    cycles = 4
    mine = mix_amplitude(pictures, low_amplitude(target, 9), ONE, cycles=cycles)
    for x, t, got in zip(pictures.double().numpy(), target.double().numpy(), mine.numpy(), strict=True):
        fx, ft = np.fft.fft2(x), np.fft.fft2(t)
        ax, at = np.fft.fftshift(np.abs(fx), (1, 2)), np.fft.fftshift(np.abs(ft), (1, 2))
        row, column = x.shape[1] // 2, x.shape[2] // 2
        square = np.s_[:, row - cycles : row + cycles + 1, column - cycles : column + cycles + 1]
        ax[square] = at[square]
        wanted = np.fft.ifft2(np.fft.ifftshift(ax, (1, 2)) * np.exp(1j * np.angle(fx))).real
        np.testing.assert_allclose(got, wanted, atol=2e-6)


def test_amplitude_mix_keeps_phase_and_moves_amplitude_by_its_weight(
    pictures: torch.Tensor, targets: torch.Tensor
) -> None:
    weight = torch.tensor([0.0, 0.4, 1.0])
    mixed = mix_amplitude(pictures, low_amplitude(targets, 5), weight, cycles=5)
    torch.testing.assert_close(mixed[0], pictures[0], atol=1e-6, rtol=0)
    before, after = torch.fft.rfft2(pictures), torch.fft.rfft2(mixed)
    turned = (before * after.conj()).angle().abs()
    assert float(turned[before.abs().minimum(after.abs()) > 1].max()) < 2e-4
    own, got, wanted = (low_amplitude(t, 5) for t in (pictures, mixed, targets))
    torch.testing.assert_close(got, torch.lerp(own, wanted, weight[:, None, None, None]), atol=1e-6, rtol=0)


def test_lalphabeta_is_reinhards_table_and_goes_back(pictures: torch.Tensor) -> None:
    code = np.array([0.8, 0.4, 0.2])
    linear = ((code + 0.055) / 1.055) ** 2.4
    cones = np.log10(np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]]) @ linear)
    axes = [cones.sum() / 3**0.5, (cones[0] + cones[1] - 2 * cones[2]) / 6**0.5, (cones[0] - cones[1]) / 2**0.5]
    got = to_lalphabeta(torch.tensor(code, dtype=torch.float32).reshape(1, 3, 1, 1))
    np.testing.assert_allclose(got.flatten().numpy(), axes, atol=1e-5)
    torch.testing.assert_close(from_lalphabeta(to_lalphabeta(pictures)), pictures, atol=1e-4, rtol=0)


def test_reinhard_gives_the_targets_means_and_spreads(pictures: torch.Tensor, targets: torch.Tensor) -> None:
    mean, std = moments(to_lalphabeta(targets))
    got_mean, got_std = moments(to_lalphabeta(reinhard_transfer(pictures, mean, std)))
    torch.testing.assert_close(got_mean, mean, atol=0.01, rtol=0)  # the darkest pixels meet the logarithm's floor
    torch.testing.assert_close(got_std, std, atol=0.01, rtol=0)


def test_histogram_matching_is_scikit_images(pictures: torch.Tensor, targets: torch.Tensor) -> None:
    exposure = pytest.importorskip("skimage.exposure")
    mine = match_levels(pictures, level_cdf(targets)) * 255
    for x, t, got in zip(pictures, targets, mine, strict=True):
        # As floating point: of integers it makes integers again, by cutting.
        source, reference = ((v * 255).round().double().permute(1, 2, 0).numpy() for v in (x, t))
        wanted = exposure.match_histograms(source, reference, channel_axis=2)
        np.testing.assert_allclose(got.permute(1, 2, 0).numpy(), wanted, atol=1e-3)


def test_histogram_curves_are_numpys_interpolation() -> None:
    gen = torch.Generator().manual_seed(3)
    source = torch.randint(20, 200, (1, 1, 30, 30), generator=gen)
    reference = 3 * torch.randint(10, 80, (1, 1, 40, 25), generator=gen)
    values, counts = np.unique(source, return_counts=True)
    wanted_values, wanted_counts = np.unique(reference, return_counts=True)
    curve = np.interp(np.cumsum(counts) / source.numel(), np.cumsum(wanted_counts) / reference.numel(), wanted_values)
    got = match_levels(source / 255, level_cdf(reference / 255)) * 255
    wanted = curve[np.searchsorted(values, source.numpy())]
    np.testing.assert_allclose(got.numpy(), wanted, atol=2e-4)


def test_the_linear_map_sends_covariance_to_covariance(pictures: torch.Tensor, targets: torch.Tensor) -> None:
    own = colour_moments(pictures)[1]
    mean, wanted = colour_moments(targets)
    matrix = transport_matrix(own, wanted)
    torch.testing.assert_close(matrix @ own @ matrix, wanted, atol=1e-12, rtol=0)
    torch.testing.assert_close(matrix, matrix.transpose(1, 2))  # a gradient of a convex function: the optimal map
    assert float(torch.linalg.eigvalsh(matrix).min()) > 0
    got_mean, got = colour_moments(linear_transport(pictures, mean, wanted))
    torch.testing.assert_close(got_mean, mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=0)


def test_the_linear_map_moves_colours_as_far_as_the_closed_form_says(
    pictures: torch.Tensor, targets: torch.Tensor
) -> None:
    linalg = pytest.importorskip("scipy.linalg")
    (own_mean, own), (mean, wanted) = colour_moments(pictures), colour_moments(targets)
    moved = linear_transport(pictures, mean, wanted)
    cost = (moved - pictures).double().square().sum(1).mean((1, 2))
    for i in range(3):
        root = linalg.sqrtm(own[i].numpy())
        cross = linalg.sqrtm(root @ wanted[i].numpy() @ root)
        # The squared Wasserstein distance of two Gaussians (Dowson and Landau 1982).
        bures = float((own_mean[i] - mean[i]).square().sum()) + np.trace((own[i] + wanted[i]).numpy() - 2 * cross)
        assert float(cost[i]) == pytest.approx(bures, rel=1e-4)


def test_sliced_transport_of_gaussians_reaches_mean_and_covariance() -> None:
    gen = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, 80, 80, generator=gen)
    mixing = torch.tensor([[0.5, 0.2, 0.0], [0.0, 0.7, 0.3], [0.1, 0.0, 0.4]])
    colours = torch.randn(1, 6400, 3, generator=gen) @ mixing.T + 2
    frames = draw_rotations(15, gen)[None]
    torch.testing.assert_close(frames[0] @ frames[0].transpose(1, 2), torch.eye(3).double().expand(15, 3, 3))
    mean, covariance = colour_moments(sliced_transport(x, colours, frames))
    torch.testing.assert_close(mean[0].float(), colours[0].mean(0), atol=0.01, rtol=0)
    torch.testing.assert_close(covariance[0].float(), torch.cov(colours[0].T), atol=0.02, rtol=0)


def test_sliced_transport_along_one_axis_is_sorting() -> None:
    gen = torch.Generator().manual_seed(0)
    x, colours = torch.rand(1, 3, 5, 8, generator=gen), torch.rand(1, 40, 3, generator=gen)
    got = sliced_transport(x, colours, torch.eye(3)[None, None])
    for channel in range(3):
        torch.testing.assert_close(got[0, channel].flatten().sort().values, colours[0, :, channel].sort().values)
        assert torch.equal(got[0, channel].flatten().argsort(), x[0, channel].flatten().argsort())


def test_sliced_transport_gives_equal_colours_one_colour(targets: torch.Tensor) -> None:
    x = torch.zeros(1, 3, 40, 40)
    x[..., 20:] = 0.5
    moved = sliced_transport(x, targets[:1].flatten(2).transpose(1, 2), draw_rotations(8, _gen())[None])
    for half in (moved[..., :20], moved[..., 20:]):
        assert float((half - half[..., :1, :1]).abs().max()) < 1e-4
    assert float((moved[..., 20:].mean() - moved[..., :20].mean()).abs()) > 0.05


def test_sliced_transport_carries_what_a_covariance_does_not_see(pictures: torch.Tensor) -> None:
    # Two clusters: the linear map leaves colours in between, order along lines does not.
    gen = torch.Generator().manual_seed(1)
    clusters = torch.where(torch.rand(1, 2000, 1, generator=gen) < 0.5, 0.2, 0.8) + 0.02 * torch.randn(
        1, 2000, 3, generator=gen
    )
    moved = sliced_transport(pictures[:1], clusters, draw_rotations(15, gen)[None])
    between = ((moved > 0.35) & (moved < 0.65)).float().mean()
    mean, covariance = colour_moments(clusters.transpose(1, 2)[..., None])
    linear = linear_transport(pictures[:1], mean, covariance)
    assert float(between) < 0.05 < float(((linear > 0.35) & (linear < 0.65)).float().mean())


@pytest.mark.parametrize(
    "method", [AmplitudeMix(5), ReinhardTransfer(), HistogramMatch(), LinearTransport(), SlicedTransport()]
)
def test_weights_zero_and_own_style_change_nothing(
    method: torch.nn.Module, pictures: torch.Tensor, targets: torch.Tensor
) -> None:
    seeds = torch.arange(3)
    torch.testing.assert_close(method(pictures, measure(targets), ONE * 0, seeds), pictures, atol=2e-6, rtol=0)
    own = method(pictures, measure(pictures), ONE, seeds)
    if isinstance(method, SlicedTransport):  # 1021 of 4800 colours stand for all
        assert float((own - pictures).abs().mean()) < 0.02
        every = sliced_transport(
            pictures, pictures.flatten(2).transpose(1, 2), draw_rotations(5, _gen()).expand(3, 5, 3, 3)
        )
        torch.testing.assert_close(every, pictures, atol=1e-5, rtol=0)
    else:
        resized = isinstance(method, AmplitudeMix)  # a bank's spectrum is that of a picture of another size
        torch.testing.assert_close(own, pictures, atol=0.03 if resized else 2e-4, rtol=0)
    moved = method(pictures, measure(targets), ONE, seeds)
    assert float((moved - pictures).abs().mean()) > 0.02


def test_flat_pictures_stay_finite(targets: torch.Tensor) -> None:
    for value in (0.0, 0.5, 1.0):
        flat = torch.full((3, 3, 40, 40), value)
        for method in (AmplitudeMix(5), ReinhardTransfer(), HistogramMatch(), LinearTransport(), SlicedTransport()):
            assert bool(torch.isfinite(method(flat, measure(targets), ONE, torch.arange(3))).all())
            assert bool(torch.isfinite(method(targets, measure(flat), ONE, torch.arange(3))).all())


def test_bad_arguments_are_refused(pictures: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="cycles: 17"):
        AmplitudeMix(17)
    with pytest.raises(DataError, match="30 cycles"):
        low_amplitude(pictures, 30)
    with pytest.raises(DataError, match="a target of shape"):
        match_levels(pictures, torch.zeros(3, 3, 10))
    with pytest.raises(DataError, match="frames: 0"):
        SlicedTransport(0)
    with pytest.raises(DataError, match="wanted"):
        sliced_transport(pictures, torch.zeros(2, 5, 3), torch.eye(3)[None, None])


def test_reinhard_does_not_depend_on_the_order_in_memory() -> None:
    x = torch.rand(1, 3, 61, 83, generator=_gen())  # no multiple of a vector: the rest is computed another way
    mean, std = torch.tensor([[-0.6, -0.02, 0.01]]), torch.tensor([[0.3, 0.05, 0.02]])
    turned = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(reinhard_transfer(turned, mean, std), reinhard_transfer(x, mean, std))
