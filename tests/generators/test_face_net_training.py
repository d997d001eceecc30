"""The recipe: codes, randomised crops that agree with their truth, losses, and a run that goes on where it stopped."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spooflab.generators.face_net.frame import extent
from spooflab.generators.face_net.network import INPUT, Network
from spooflab.generators.face_net.training import camera, occlude, randomise
from spooflab.generators.face_net.training.fit import Plan, fit
from spooflab.generators.face_net.training.loss import losses
from spooflab.generators.face_net.training.randomise import IGNORE, MAP, draw_batch
from spooflab.generators.face_net.training.render import (
    SHARD,
    Cache,
    Rendered,
    decode,
    encode,
    fill_cache,
    shard_path,
    wide_session,
)
from spooflab.generators.faces.landmarks import MEAN_HEAD

SIZE = 96


def _faces(count: int = SHARD) -> Rendered:
    """Discs for faces: a bright dot at the left mouth corner, classes and depth that are known at every pixel."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    disc = (np.hypot(x - 48, y - 48) < 28).astype(np.uint8)
    points = (MEAN_HEAD[:, :2] * 16 + (48, 40)).astype(np.float32)
    depth = np.where(disc > 0, x - 48, np.nan).astype(np.float16)
    image = np.stack([disc * 120 + 20] * 3).astype(np.uint8)
    return Rendered(
        image=np.stack([image] * count),
        parsing=np.stack([disc] * count),
        depth_mm=np.stack([depth] * count),
        landmarks=np.stack([points] * count),
        pose_deg=np.tile(np.array([[20.0, -10.0]], np.float32), (count, 1)),
    )


def _textures() -> torch.Tensor:
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def _write(folder: Path, shards: range) -> None:
    folder.mkdir()
    for index in shards:
        np.savez(shard_path(folder, index), **vars(_faces()))


def test_codes_keep_radiance() -> None:
    light = torch.linspace(0, 2, 1001).reshape(1, 1, -1)
    back = decode(torch.from_numpy(encode(light)))
    assert float((back - light).abs().max()) < 0.011  # half a step of 255 where steps are largest: 2 · 2.2 / 255 / 2
    assert float(decode(torch.from_numpy(encode(torch.tensor([9.0]))))[0]) == pytest.approx(2.0)


def test_sessions_are_wide_and_follow_their_seed() -> None:
    drawn = [wide_session(torch.Generator().manual_seed(k)) for k in range(200)]
    again = wide_session(torch.Generator().manual_seed(7))
    assert again.to_json() == drawn[7].to_json()
    yaw = torch.cat([s.yaw_deg for s in drawn])
    assert float(yaw.abs().max()) > 45
    assert float(yaw.mean().abs()) < 6
    assert float((yaw.abs() < 12).float().mean()) > 0.3
    share = torch.cat([s.share for s in drawn])
    assert 0.34 <= float(share.min()) < 0.37 < 0.55 < float(share.max()) <= 0.58


def test_truth_moves_with_the_picture() -> None:
    """The disc's edge in the classes lies where the landmarks put it; depth grows with the face's own x."""
    batch = draw_batch(_faces(64), _textures(), torch.Generator().manual_seed(5))
    assert batch.picture.shape == (64, 3, INPUT, INPUT)
    assert 0 <= float(batch.picture.min()) <= float(batch.picture.max()) <= 1
    tried, mirrored = 0, set()
    for k in range(64):
        if not bool(batch.face[k]) or float(batch.seen[k].mean()) < 1:
            continue
        tried += 1
        points, classes, depth = batch.points[k], batch.parsing[k], batch.depth_mm[k]
        source = torch.from_numpy(MEAN_HEAD[:, :2] * 16 + (48, 40)).float()
        # The head is its own mirror image, so one affine map takes the crop's points back, mirrored or not.
        lifted = torch.cat([points, torch.ones(68, 1)], 1)
        back = torch.linalg.lstsq(lifted, source).solution
        assert float((lifted @ back - source).abs().max()) < 0.05
        y, x = torch.meshgrid((torch.arange(MAP) + 0.5) / MAP, (torch.arange(MAP) + 0.5) / MAP, indexing="ij")
        at = torch.stack([x, y, torch.ones_like(x)], -1) @ back
        away = (at - 48).norm(dim=-1)
        known = classes != IGNORE
        assert bool((classes[known & (away < 26.5)] == 1).all())
        assert bool((classes[known & (away > 29.5)] == 0).all())
        inner = depth.isfinite()
        own = (at[..., 0] - 48)[inner]
        errors = [float((depth[inner] - sign * own).abs().max()) for sign in (1, -1)]
        assert min(errors) < 1.0
        mirrored.add(errors[1] < errors[0])
    assert tried > 30
    assert mirrored == {True, False}


def test_places_say_where_a_face_of_the_right_size_is() -> None:
    batch = draw_batch(_faces(64), _textures(), torch.Generator().manual_seed(6))
    share = extent(batch.points)
    some = (batch.place > 0).flatten(1).any(1)
    assert bool(some.any())
    for k in range(64):
        if not bool(some[k]):
            assert not (bool(batch.face[k]) and 0.36 < float(share[k]) < 0.73 and float(batch.seen[k].mean()) == 1)
            continue
        assert 0.35 <= float(share[k]) <= 0.74
        i, j = (batch.place[k] > 0).nonzero()[0].tolist()
        middle = (batch.points[k].amax(0) + batch.points[k].amin(0)) / 2 * 8
        told = torch.tensor([j + 0.5, i + 0.5]) + batch.offset[k, :, i, j]
        torch.testing.assert_close(told, middle, atol=1e-4, rtol=0)
        assert 2 ** float(batch.log2_size[k, i, j]) * 0.5 == pytest.approx(float(share[k]), rel=1e-4)
    empty = batch.face == 0
    assert bool((batch.place[empty] <= 0).all())


def test_direction_turns_with_the_crop() -> None:
    """By hand: yaw 20, pitch -10 (down), turned by 90 degrees clockwise in the picture, so back by 90 in the crop."""
    pose = torch.deg2rad(torch.tensor([[20.0, -10.0]] * 3))
    turn, flip = torch.tensor([0.0, math.pi / 2, 0.0]), torch.tensor([False, False, True])
    x, y = math.sin(math.radians(20)) * math.cos(math.radians(10)), math.sin(math.radians(10))
    wanted = torch.tensor([[x, y], [y, -x], [-x, y]])
    torch.testing.assert_close(randomise._forward(pose, turn, flip), wanted)


def test_occluders_cover_what_they_say() -> None:
    light = torch.full((60, 3, 64, 64), 5.0)
    seen, cover = occlude.occlude(light, torch.zeros(60, 3, 64, 64), torch.Generator().manual_seed(1))
    untouched = cover < 1e-4
    torch.testing.assert_close(seen[untouched.expand_as(seen)], light[untouched.expand_as(seen)], atol=2e-3, rtol=0)
    assert float(seen[(cover > 0.999).expand_as(seen)].max()) < 2
    share = float((cover.flatten(1).amax(1) > 0.5).float().mean())
    assert 0.12 < share < 0.55  # a third are drawn, a few lie outside


def test_camera_is_a_function_of_its_seed_and_keeps_the_picture() -> None:
    light = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 0.02 + 0.1
    light[..., 32:, :] *= 4
    a = camera.shoot(light, torch.Generator().manual_seed(3))
    assert torch.equal(a, camera.shoot(light, torch.Generator().manual_seed(3)))
    assert not torch.equal(a, camera.shoot(light, torch.Generator().manual_seed(4)))
    brighter = a[..., 40:, :].mean((1, 2, 3)) > a[..., :24, :].mean((1, 2, 3))
    assert float(brighter.float().mean()) > 0.8  # a hard shadow may turn one over


def test_box_blur_is_the_mean_of_nine() -> None:
    planes = torch.rand(1, 2, 7, 6)
    wanted = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(planes, (1,) * 4, mode="replicate"), 3, 1)
    torch.testing.assert_close(camera.box_blur(planes), wanted)


def test_losses_fall_to_their_floor_at_the_truth() -> None:
    batch = draw_batch(_faces(16), _textures(), torch.Generator().manual_seed(8))
    network = Network().train()
    reading = network(batch.picture)
    before = {name: float(value.detach()) for name, value in losses(reading, batch).items()}
    logits = torch.nn.functional.one_hot(batch.parsing.clamp(max=12), 13).permute(0, 3, 1, 2) * 30.0
    perfect = dataclasses.replace(
        reading,
        points=batch.points,
        parsing=logits,
        depth_mm=batch.depth_mm.nan_to_num(0)[:, None],
        forward=batch.forward,
        places=dataclasses.replace(
            reading.places, logit=batch.place * 20 - 10, offset=batch.offset, log2_size=batch.log2_size
        ),
    )
    after = {name: float(value.detach()) for name, value in losses(perfect, batch).items()}
    assert set(before) == {"points", "parsing", "depth", "slope", "forward", "place", "offset", "size"}
    for name in before:
        assert after[name] < before[name], name
    for name in ("parsing", "depth", "slope", "forward", "place", "offset", "size"):
        assert after[name] < 0.01, name


def test_a_negative_crop_teaches_neither_points_nor_depth() -> None:
    batch = draw_batch(_faces(64), _textures(), torch.Generator().manual_seed(9))
    empty = batch.face == 0
    assert 0 < int(empty.sum()) < 32
    assert float(batch.seen[empty].sum()) == 0
    assert not bool(batch.depth_mm[empty].isfinite().any())


def test_cache_grows_and_refuses_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="render them first"):
        Cache(tmp_path, range(3))
    folder = tmp_path / "c"
    _write(folder, range(1))
    cache = Cache(folder, range(3))
    assert len(cache) == SHARD
    np.savez(shard_path(folder, 1), **vars(_faces()))
    cache.grow()
    assert len(cache) == 2 * SHARD
    assert cache.take([0, 33]).landmarks.shape == (2, 68, 2)


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "c", range(1))
    cache, textures = Cache(tmp_path / "c", range(1)), _textures()
    plan = Plan(steps=4, batch=4, warm=2, seed=3)
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    fit(tmp_path / "whole", cache, cache, textures, plan)
    monkeypatch.setattr("spooflab.generators.face_net.training.fit._JUDGE_EVERY", 2)
    monkeypatch.setattr("spooflab.generators.face_net.training.fit.Network", _Interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "parts", cache, cache, textures, plan)
    monkeypatch.undo()
    fit(tmp_path / "parts", cache, cache, textures, plan)
    a, b = (load_file(tmp_path / name / "network.safetensors") for name in ("whole", "parts"))
    assert set(a) == set(b)
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=0, rtol=0, msg=name)


class _Interrupted(Network):
    """Stops at its fourth training step, two after a checkpoint."""

    def forward(self, picture: torch.Tensor):  # type: ignore[no-untyped-def]  # as the parent's
        if self.training:
            self.seen = getattr(self, "seen", 0) + 1
            if self.seen == 4:
                raise KeyboardInterrupt
        return super().forward(picture)


@pytest.mark.slow
def test_rendered_shard_is_kept_and_not_made_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spooflab.generators.face_net.training.render.SHARD", 2)
    fill_cache(tmp_path, range(1), 4)
    with np.load(shard_path(tmp_path, 0), allow_pickle=False) as data:
        assert data["image"].shape == (2, 3, 160, 160)
        face = data["parsing"][0]
        relief = data["depth_mm"][0].astype(np.float32)
        on_face = np.isin(face, (1, 2, 4, 5, 6, 7))
        assert abs(np.nanmean(relief[on_face])) < 0.2
        assert np.isnan(relief[face == 0]).mean() > 0.9
    stamp = shard_path(tmp_path, 0).stat().st_mtime_ns
    fill_cache(tmp_path, range(1), 4)
    assert shard_path(tmp_path, 0).stat().st_mtime_ns == stamp
