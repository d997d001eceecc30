"""Seed, epoch and key decide a shot, and nothing else does."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch

from spooflab.augment import DeviceShift
from spooflab.augment.bridges import KeyedCamera
from spooflab.augment.bridges.keyed_camera import as_key, content_key
from spooflab.errors import ConfigError, DataError


def _take(keyed: KeyedCamera, photos: torch.Tensor, keys: list[object]) -> torch.Tensor:
    shots = keyed.shots(keyed.seeds(keys), (photos.shape[-2], photos.shape[-1]))
    return keyed.photograph(photos, shots)


def test_a_row_is_the_same_in_any_company_and_whatever_draws_beside_it(
    shift: DeviceShift, photos: torch.Tensor
) -> None:
    keyed = KeyedCamera(shift, seed=5)
    together = _take(keyed, photos, list(range(8)))
    order = [6, 1, 3]
    torch.manual_seed(99)
    np.random.seed(1)  # noqa: NPY002
    random.seed(2)
    assert torch.equal(_take(keyed, photos[order], list(order)), together[order])
    assert torch.equal(_take(KeyedCamera(shift, seed=5), photos[2:3], [2]), together[2:3])


def test_seed_epoch_and_key_each_change_the_shot(shift: DeviceShift) -> None:
    keyed = KeyedCamera(shift, seed=5)
    seen = set(keyed.seeds([0, 1, "0", "a"]))
    keyed.set_epoch(1)
    seen |= set(keyed.seeds([0, 1, "0", "a"]))
    seen |= set(KeyedCamera(shift, seed=6).seeds([0, 1, "0", "a"]))
    assert len(seen) == 12


def test_copies_follow_the_epoch(shift: DeviceShift) -> None:
    keyed = KeyedCamera(shift, seed=5)
    twin = copy.deepcopy(keyed)
    keyed.set_epoch(4)
    assert twin.seeds([0]) == keyed.seeds([0])
    sent = pickle.loads(pickle.dumps(keyed))
    assert sent.seeds([0]) == keyed.seeds([0])
    sent.set_epoch(5)  # another process's, so to say: a number of its own
    assert sent.seeds([0]) != keyed.seeds([0])


def test_the_share_that_is_photographed(shift: DeviceShift) -> None:
    keyed = KeyedCamera(shift, seed=5, p=0.3)
    applied = keyed.applied(keyed.seeds(list(range(2000))))
    assert abs(int(applied.sum()) - 600) < 5 * (2000 * 0.3 * 0.7) ** 0.5
    keyed.set_epoch(1)
    assert not torch.equal(keyed.applied(keyed.seeds(list(range(2000)))), applied)
    assert not bool(KeyedCamera(shift, seed=5, p=0).applied([1, 2]).any())
    assert bool(KeyedCamera(shift, seed=5).applied([1, 2]).all())


def test_keys_are_integers_or_strings() -> None:
    assert as_key(np.int64(3)) == as_key(torch.tensor(3)) == as_key(3) == 3
    assert as_key("3") == "3"
    for value in (1.0, None, (1, 2), torch.tensor([1, 2]), torch.tensor(1.0)):
        with pytest.raises(DataError, match="key"):
            as_key(value)


def test_pixels_name_a_picture() -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert content_key(picture) == content_key(picture.copy())
    assert content_key(picture) != content_key(picture + 1)
    assert content_key(picture) != content_key(picture.reshape(2, 8, 3))
    assert content_key(picture) == content_key(torch.from_numpy(picture))
    assert content_key(picture) == "pixels:4965026309c5c03c74c07220dd1a0597"
    soft = torch.from_numpy(picture).bfloat16()
    assert content_key(soft) == content_key(soft.clone())
    assert content_key(soft) != content_key(soft + 1)
    assert content_key(soft) not in (content_key(soft.float()), content_key(soft.view(torch.int16)))


def test_bad_arguments_are_refused(shift: DeviceShift) -> None:
    with pytest.raises(ConfigError, match=r"p: 1\.5"):
        KeyedCamera(shift, seed=0, p=1.5)
    with pytest.raises(ConfigError, match="type str"):
        KeyedCamera("kiosk", seed=0)  # type: ignore[arg-type]
    for seed in (None, 1.5, "1"):
        with pytest.raises(ConfigError, match="seed"):
            KeyedCamera(shift, seed=seed)  # type: ignore[arg-type]
    assert KeyedCamera(shift, seed=np.int64(3)).seeds([0]) == KeyedCamera(shift, seed=3).seeds([0])
    with pytest.raises(ConfigError, match="epoch -1"):
        KeyedCamera(shift, seed=0).set_epoch(-1)
