"""Whole-pixel augmentation against NumPy's reflect padding."""

import numpy as np
import torch

from spooflab.adapters import AugmentConfig
from spooflab.adapters.augmentation import AugmentParams, apply_augment, sample_augment

KEYS = [f"k{i}" for i in range(6)]


def images() -> torch.Tensor:
    return torch.randint(0, 256, (6, 3, 20, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_equals_numpy():
    params = AugmentParams(
        torch.tensor([False, True, False, True, False, True]),
        torch.tensor([[0, 0], [0, 0], [3, -2], [-4, 4], [4, 1], [0, -4]]),
        torch.linspace(0.8, 1.3, 18).view(6, 3),
    )
    got = apply_augment(images(), params).numpy()
    for i, image in enumerate(images().numpy()):
        picture = image[:, :, ::-1] if params.flip[i] else image
        dy, dx = params.shift[i].tolist()
        padded = np.pad(picture, ((0, 0), (5, 5), (5, 5)), mode="reflect")
        moved = padded[:, 5 - dy : 25 - dy, 5 - dx : 29 - dx] / 255.0 * params.gain[i].numpy()[:, None, None]
        np.testing.assert_allclose(got[i], moved.clip(0, 1), atol=1e-6)


def test_off_is_the_plain_image():
    off = AugmentConfig(flip=0, shift=0, gain=0)
    params = sample_augment(off, KEYS, [0] * 6, size=20, seed=0)
    torch.testing.assert_close(apply_augment(images(), params), images() / 255, atol=1e-7, rtol=0)


def test_draws_are_named_by_seed_epoch_and_key():
    config = AugmentConfig()
    forward = sample_augment(config, KEYS, range(6), size=128, seed=1)
    backward = sample_augment(config, KEYS[::-1], range(5, -1, -1), size=128, seed=1)
    assert torch.equal(forward.gain, backward.gain.flip(0))
    assert torch.equal(forward.shift, backward.shift.flip(0))
    later = sample_augment(config, KEYS, range(1, 7), size=128, seed=1)
    other = sample_augment(config, KEYS, range(6), size=128, seed=2)
    assert not (later.gain == forward.gain).any()
    assert not (other.gain == forward.gain).any()


def test_draws_fill_their_ranges():
    keys = [str(i) for i in range(4000)]
    params = sample_augment(AugmentConfig(flip=0.5, shift=0.03, gain=0.1), keys, [0] * 4000, size=100, seed=0)
    assert params.shift.unique().tolist() == [-3, -2, -1, 0, 1, 2, 3]
    # Each of 7 values has p = 1/7: five standard errors of 4000 draws are 0.028; of the flips 0.040.
    share = torch.stack([(params.shift[:, 0] == v).double().mean() for v in range(-3, 4)])
    assert bool(((share - 1 / 7).abs() < 0.028).all())
    assert abs(float(params.flip.double().mean()) - 0.5) < 0.04
    assert 0.9 <= float(params.gain.min()) < 0.901
    assert 1.099 < float(params.gain.max()) <= 1.1
