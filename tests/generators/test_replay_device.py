"""The path of a batch on an accelerator: every tensor is made where the batch lies, and nothing is read back.

`FakeTensorMode` runs the whole of `render` with tensors that claim to lie on a CUDA device: mixing them with one of the
CPU is an error, and so is reading a value (`item`, `tolist`, `bool`), which would make the host wait.
"""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from spooflab.augment.view import View
from spooflab.generators import hashed, lattice, rounded_box, smooth_map
from spooflab.generators.attacks.replays import ablation, body, codec, content, front, interface, replay, screen
from spooflab.generators.attacks.replays.replay import Replay
from spooflab.generators.attacks.replays.replay_monitor import ReplayMonitor
from spooflab.generators.attacks.replays.replay_phone import ReplayPhone
from spooflab.generators.attacks.replays.replay_tablet import ReplayTablet
from spooflab.generators.attacks.replays.replay_tv import ReplayTV
from spooflab.generators.face import Face
from spooflab.generators.instruments.panel import load_panels
from spooflab.generators.scene import Scene, SceneParams
from spooflab.seeds import generator

BANK = load_panels()
SIZE, BATCH = 64, 5
KINDS: tuple[type[Replay], ...] = (ReplayPhone, ReplayTablet, ReplayMonitor, ReplayTV)
MOST_SLOW = [k if k is ReplayTV else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]


class GreyScene(Scene):
    """Surroundings of one colour; the shipped scene's room and hand are not part of this path."""

    def background(self, view: View, params: SceneParams, focus_mm: Tensor | float = 400.0) -> Tensor:
        return params.ambient_rgb[..., None, None].expand(-1, -1, SIZE, SIZE)

    def reflection(self, params: SceneParams, directions: Tensor, *, every: bool = False) -> Tensor:
        return params.ambient_rgb[..., None, None].expand(-1, -1, *directions.shape[1:3])

    def hand(self, view: View, params: SceneParams, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        alpha = (params.hand_style > 0).float()[:, None, None, None].expand(-1, 1, SIZE, SIZE).contiguous()
        alpha[..., : SIZE // 2] = 0
        return params.skin_rgb[..., None, None].expand(-1, -1, SIZE, SIZE), alpha


def faces(batch: int) -> Face:
    gen = generator(1, "device")
    radiance = F.interpolate(torch.rand(batch, 3, 8, 8, generator=gen), (SIZE, SIZE), mode="bilinear")
    marks = SIZE * (0.3 + 0.4 * torch.rand(batch, 68, 2, generator=gen))
    box = (SIZE * torch.tensor([0.26, 0.18, 0.48, 0.64])).expand(batch, -1).clone()
    return Face(radiance, marks, box, ("s",) * batch, ("f",) * batch)


def on(face: Face, device: torch.device) -> Face:
    return face.replace(radiance=face.radiance.to(device), landmarks=face.landmarks.to(device), box=face.box.to(device))


def shots(batch: int) -> View:
    return View.ideal(SIZE, SIZE, batch_size=batch, pitch_um=5.6, blur_px=0.3, readout_ms=20.0, k1=-0.05)


def _solve(view: View, sheared: Tensor) -> Tensor:
    """Return what `View._solve` does for a lens that bends."""
    centre, half_diagonal = view._centre(sheared)
    target = (sheared - centre) / half_diagonal
    seen = target.norm(dim=-1, keepdim=True)
    ideal: Tensor = target * (view._ideal_radius(seen) / seen.clamp(min=1e-9)) * half_diagonal + centre
    return ideal


@pytest.fixture
def clean_caches() -> Iterator[None]:
    """Keep constants that were made under the fake mode out of the other tests."""
    kept = (
        smooth_map._to_pixels, smooth_map._to_points, smooth_map._splines, lattice._linear, codec._cosines,
        hashed._places,
    )  # fmt: skip
    for one in kept:
        one.cache_clear()
    yield
    for one in kept:
        one.cache_clear()


@pytest.mark.slow
@pytest.mark.usefixtures("clean_caches")
@pytest.mark.parametrize("kind", MOST_SLOW, ids=lambda k: k.species)
def test_a_batch_on_an_accelerator_stays_there(kind: type[Replay], monkeypatch: pytest.MonkeyPatch) -> None:
    attack = kind(BANK, scene=GreyScene())
    params, face, view = attack.sample(BATCH, generator(3, "device")), faces(BATCH), shots(BATCH)
    attack._table(torch.device("cpu"))
    # What is read back on purpose, once for a batch: the window's size, the panels' ids, and whether any lens bends or
    # any camera moved, in `View`.
    monkeypatch.setattr(View, "height", property(lambda self: SIZE))
    monkeypatch.setattr(View, "width", property(lambda self: SIZE))
    monkeypatch.setattr(attack, "_ids", lambda place: ("one",) * BATCH)
    monkeypatch.setattr(View, "_solve", _solve)
    monkeypatch.setattr(View, "blur", lambda self, image: image * self.blur_px[:, None, None, None])
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        device = torch.device("cuda:0")
        monkeypatch.setattr(attack, "_tables", {device: attack._table(torch.device("cpu")).to(device)})
        out = attack.render(on(face, device), view.to(device), params.to(device))
    for field in fields(out):
        value = getattr(out, field.name)
        for tensor in value.values() if isinstance(value, dict) else [value]:
            if isinstance(tensor, Tensor):
                assert tensor.device == device, field.name
    assert out.irradiance.shape == (BATCH, 3, SIZE, SIZE)
    assert out.irradiance.dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.species)
def test_the_branches_that_an_accelerator_takes_give_the_same_pictures(
    kind: type[Replay], monkeypatch: pytest.MonkeyPatch
) -> None:
    attack = kind(BANK, scene=GreyScene())
    params, face, view = attack.sample(BATCH, generator(3, "device")), faces(BATCH), shots(BATCH)
    with torch.inference_mode():
        wanted = attack.render(face, view, params)
        for module in (replay, ablation, body, codec, content, front, screen,
                       interface, rounded_box):  # fmt: skip
            if hasattr(module, "some"):
                monkeypatch.setattr(module, "some", lambda mask: True)
        monkeypatch.setattr(interface, "_paint_rows", interface._paint_together)
        monkeypatch.setattr(lattice, "_loudest", lambda level, limit: level.topk(lattice._MOST, dim=1).indices)
        out = attack.render(face, view, params)
    assert out.instrument_id == wanted.instrument_id
    for field in ("irradiance", "mask", "landmarks", "box"):
        torch.testing.assert_close(getattr(out, field), getattr(wanted, field), atol=2e-4, rtol=1e-4, msg=field)
    for name, value in wanted.facts.items():
        torch.testing.assert_close(out.facts[name], value, atol=1e-4, rtol=1e-4, msg=name)
