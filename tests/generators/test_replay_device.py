"""The path of a batch on an accelerator: every tensor is made where the batch lies, and gives what the CPU gives.

No accelerator is needed: `accelerator` (conftest) runs "cuda:0" on the CPU. Mixing devices is an error there, the
branches that an accelerator takes are taken, and every place where the host waits for a number is noted.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from spooflab.augment import CaptureDevice
from spooflab.augment.tone import srgb_encode
from spooflab.augment.view import View
from spooflab.generators.attacks.replays.replay import Replay
from spooflab.generators.attacks.replays.replay_monitor import ReplayMonitor
from spooflab.generators.attacks.replays.replay_phone import ReplayPhone
from spooflab.generators.attacks.replays.replay_tablet import ReplayTablet
from spooflab.generators.attacks.replays.replay_tv import ReplayTV
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.instruments.panel import load_panels
from spooflab.generators.pose import Pose
from spooflab.generators.scene import HAND_EDGES, HAND_STYLES, Scene, SceneParams
from spooflab.generators.scene_bones import batch_bones, hand_bones
from spooflab.generators.spoof_augment import SpoofAugment
from spooflab.seeds import generator

BANK = load_panels()
CUDA = torch.device("cuda:0")
SIZE, BATCH = 64, 6
KINDS: tuple[type[Replay], ...] = (ReplayPhone, ReplayTablet, ReplayMonitor, ReplayTV)
MOST_SLOW = [k if k is ReplayPhone else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]


def faces(batch: int) -> Face:
    gen = generator(1, "device")
    radiance = F.interpolate(torch.rand(batch, 3, 8, 8, generator=gen), (SIZE, SIZE), mode="bilinear")
    marks = SIZE * (0.3 + 0.4 * torch.rand(batch, 68, 2, generator=gen))
    box = (SIZE * torch.tensor([0.26, 0.18, 0.48, 0.64])).expand(batch, -1).clone()
    return Face(radiance, marks, box, ("s",) * batch, ("f",) * batch)


def on(face: Face, device: torch.device) -> Face:
    return face.replace(radiance=face.radiance.to(device), landmarks=face.landmarks.to(device), box=face.box.to(device))


def shots(batch: int) -> View:
    """Views of a device whose lens bends, whose hand shakes and whose shutter rolls."""
    return CaptureDevice("front_phone").sample(batch, generator(2, "view"), size=(SIZE, SIZE)).view


def near(made: Any, wanted: Tensor, *, most: float, mean: float, what: str) -> None:
    """Compare an accelerator's tensor with the CPU's: lenses are linear between other nodes, hands have edges."""
    assert made.device == CUDA, what
    apart = (made.held - wanted).abs()
    assert float(apart.max()) < most, what
    assert float(apart.float().mean()) < mean, what


def test_the_accelerator_notices_mixing_and_reading(accelerator: Any) -> None:
    here = torch.arange(6.0).reshape(2, 3)
    with accelerator, torch.inference_mode():
        there = here.to(CUDA)
        assert (there.device, there.is_cpu) == (CUDA, False)
        assert (there @ there.T).sum().device == CUDA
        assert torch.linspace(0, 1, 3, device=CUDA).device == CUDA
        assert accelerator.reads == []
        with pytest.raises(RuntimeError, match="mixes devices"):
            there + here
        assert float(there[1, 2]) == 5
        assert bool((there.to("cpu") == here).all())
        assert len(there[there > 1]) == 4
    assert len(accelerator.reads) == 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", MOST_SLOW, ids=lambda k: k.species)
def test_a_batch_on_an_accelerator_stays_there_and_gives_the_same_pictures(
    kind: type[Replay], accelerator: Any
) -> None:
    """Room, reflection, device and hand, and nothing is read back."""
    attack = kind(BANK)
    params, face, view = attack.sample(BATCH, generator(7, "device")), faces(BATCH), shots(BATCH)
    with torch.inference_mode():
        wanted = attack.render(face, view, params)
        with accelerator:
            made = attack.render(on(face, CUDA), view, params)
    assert accelerator.reads == []
    assert made.instrument_id == wanted.instrument_id
    near(made.irradiance, wanted.irradiance, most=2e-2, mean=5e-5, what="irradiance")
    near(made.mask, wanted.mask, most=2e-2, mean=5e-5, what="mask")
    near(made.landmarks, wanted.landmarks, most=1e-3, mean=1e-4, what="landmarks")
    near(made.box, wanted.box, most=1e-3, mean=1e-4, what="box")
    assert made.depth_mm.device == CUDA
    for name, value in wanted.facts.items():
        assert made.facts[name].device == CUDA
        torch.testing.assert_close(made.facts[name].held, value, atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.slow
def test_parameters_on_the_accelerator_work_too(accelerator: Any) -> None:
    attack = ReplayPhone(BANK)
    params, face, view = attack.sample(2, generator(3, "device")), faces(2), shots(2)
    with accelerator, torch.inference_mode():
        drawn = attack.render(on(face, CUDA), view, params)
        sent = attack.render(on(face, CUDA), view.to(CUDA), params.to(CUDA))
    assert torch.equal(drawn.irradiance.held, sent.irradiance.held)  # type: ignore[attr-defined]  # the test's own


def _scenes(count: int, **fields: Tensor) -> SceneParams:
    params = Scene(hand_share=1).sample(count, generator(3, "scene"))
    return SceneParams(**{**params.__dict__, **fields})


def test_hands_of_a_batch_are_those_of_its_rows(accelerator: Any) -> None:
    """All styles and edges, on cells of two and of three pixels."""
    count = len(HAND_STYLES) * len(HAND_EDGES)
    style, edge = torch.arange(count) % len(HAND_STYLES), torch.arange(count) // len(HAND_STYLES)
    params = _scenes(count, hand_style=style, hand_edge=edge)
    far = torch.where(torch.arange(count) % 5 < 3, 230.0, 420.0)
    turn = torch.linspace(-8, 8, count)
    pose = Pose(torch.stack([torch.zeros(count), torch.zeros(count), far], 1), turn, -turn, turn)
    half = torch.tensor([36.0, 75.0]).repeat(count, 1)
    view = View.ideal(96, 90, batch_size=count, binning=16, k1=0.01, skew=0.01)
    scene = Scene()
    rgb, alpha = scene.hand(view, params, pose, half, shadow=False)
    with accelerator, torch.inference_mode():
        named = scene.named(params, CUDA)
        sent = (view.to(CUDA), params.to(CUDA), pose.to(CUDA), half.to(CUDA))
        made, cover = scene.hand(*sent, shadow=False, named=named)
        lit = made * cover
        with pytest.raises(ValueError, match="shadow"):
            scene.hand(*sent, named=named)
    assert bool((alpha.amax((1, 2, 3))[style > 0] > 0.5).all())
    assert float(alpha[style == 0].max()) == 0
    near(cover, alpha, most=2e-2, mean=2e-4, what="alpha")
    near(lit, rgb * alpha, most=2e-2, mean=2e-4, what="rgb")


def test_bones_of_a_batch_are_those_of_its_rows() -> None:
    count = 60
    params = _scenes(count)
    style = params.hand_style * (torch.arange(count) % 7 > 0)
    half = torch.tensor([30.0, 70.0]) + 80 * torch.rand(count, 2, generator=generator(0, "half"))
    shape = (params.hand_edge, params.hand_along, params.hand_reach_mm, params.hand_tilt_deg, params.hand_scale)
    bones = batch_bones(style, *shape, half)
    for row in range(count):
        alone = hand_bones(*(float(value[row]) for value in (style, *shape)), *half[row].tolist())
        there = bones.there[row]
        assert int(there.sum()) == len(alone)
        if alone:
            table = torch.tensor(alone)
            torch.testing.assert_close(bones.table[row][there], table[:, :6], atol=1e-3, rtol=1e-5)
            assert [bones.kinds[k] for k in there.nonzero()[:, 0].tolist()] == table[:, 6].int().tolist()
            assert [bones.nails[k] for k in there.nonzero()[:, 0].tolist()] == table[:, 7].bool().tolist()


def test_rooms_and_streets_of_a_batch_are_those_of_its_rows(accelerator: Any) -> None:
    params, scene = _scenes(10), Scene()
    assert 0 < int(params.outdoor.sum()) < 10
    view = View.ideal(120, 100, batch_size=10, binning=12, k1=0.02)
    directions = F.normalize(torch.randn(10, 9, 11, 3, generator=generator(1, "ways")), dim=-1)
    behind = scene.background(view, params, torch.full((10,), 300.0))
    before = scene.reflection(params, directions, every=True)
    with accelerator, torch.inference_mode():
        named = scene.named(params, CUDA)
        sent, way = params.to(CUDA), directions.to(CUDA)
        made = scene.background(view.to(CUDA), sent, torch.full((10,), 300.0, device=CUDA), named=named)
        mirrored = scene.reflection(sent, way, every=True, named=named)
    near(made, behind, most=1e-3, mean=1e-5, what="background")
    near(mirrored, before, most=1e-3, mean=1e-5, what="reflection")


@pytest.mark.slow
def test_the_augmentation_runs_on_an_accelerator_and_chooses_the_same(accelerator: Any) -> None:
    """Screens and live faces are made there, together; a print goes by the CPU; everything comes back there."""
    source = ProceduralFaces(n_subjects=6, sessions=1, size=SIZE, seed=3)
    drawn = [source.load(ref) for ref in source.refs()]
    images = srgb_encode(torch.cat([face.radiance for face in drawn]).clamp(0, 1))
    marks = torch.cat([face.landmarks for face in drawn])
    augment = SpoofAugment(["replay_phone", "replay_monitor", "print_a4"], share=0.8, at_once=2)
    wanted = augment(images, generator=generator(5, "batch"), landmarks=marks)
    assert set(wanted.species) == {"bonafide", "replay_phone", "replay_monitor", "print_a4"}
    with accelerator:
        made: Any = augment(images.to(CUDA), generator=generator(5, "batch"), landmarks=marks.to(CUDA))
    augment.at_once = 64  # rows do not depend on how many are computed with them
    for name in ("species", "device_id", "instrument_id", "skipped"):
        assert getattr(made, name) == getattr(wanted, name)
    near(made.labels, wanted.labels, most=0.5, mean=0.5, what="labels")
    near(made.species_index, wanted.species_index, most=0.5, mean=0.5, what="species_index")
    near(made.masks, wanted.masks, most=2e-2, mean=2e-4, what="masks")
    near(made.landmarks, wanted.landmarks, most=1e-2, mean=1e-3, what="landmarks")
    near(made.images, wanted.images, most=0.1, mean=2e-3, what="images")  # one more or less in a JPEG coefficient
    with accelerator:
        part: Any = augment(images[:3].to(CUDA), generator=generator(5, "batch"), landmarks=marks[:3].to(CUDA))
    near(part.images, made.images.held[:3], most=2 / 255, mean=1e-4, what="rows")
    ours = [read for read in accelerator.reads if not read.startswith("augment/")]
    assert all("_points" in read or '.to("cpu")' in read or 'to("cpu", torch.float32)' in read for read in ours)
    prints = wanted.species.count("print_a4") + wanted.species[:3].count("print_a4")
    assert len(ours) == 2 + prints  # the landmarks of either batch, and the light of every print


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_real_accelerator_gives_the_same_pictures() -> None:
    attack = ReplayPhone(BANK)
    params, face, view = attack.sample(BATCH, generator(7, "device")), faces(BATCH), shots(BATCH)
    with torch.inference_mode():
        wanted = attack.render(face, view, params).irradiance
        made = attack.render(on(face, CUDA), view, params).irradiance
    assert made.device == CUDA
    torch.testing.assert_close(made.cpu(), wanted, atol=2e-2, rtol=0)
