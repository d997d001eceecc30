import json

import pytest
import torch
from skimage.data import astronaut
from torch.nn import functional as F

from spooflab.augment.tone import srgb_encode
from spooflab.errors import ConfigError, DataError, SkipSample
from spooflab.generators.catalogue import build_attack
from spooflab.generators.faces.landmarks import five_of
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.spoof_augment import SpoofAugment

SIZE = 96


def gen(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    source = ProceduralFaces(n_subjects=4, sessions=1, size=SIZE, seed=3)
    faces = [source.load(ref) for ref in source.refs()]
    light = torch.cat([face.radiance for face in faces]).clamp(0, 1)
    return srgb_encode(light), torch.cat([face.landmarks for face in faces])


def test_shapes_labels_masks_and_dtype(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, landmarks = batch
    augment = SpoofAugment(["print_a4", "replay_phone", "swap_blend"], share=0.7)
    for given in (images, (images * 255).round().to(torch.uint8), images.to(torch.float64)):
        made = augment(given, generator=gen(5), landmarks=landmarks)
        assert made.images.shape == given.shape
        assert made.images.dtype == given.dtype
        assert made.landmarks.shape == (4, 68, 2)
        assert made.masks.shape == (4, 1, SIZE, SIZE)
        assert [name == "bonafide" for name in made.species] == made.labels.bool().tolist()
        assert [augment.species[i] for i in made.species_index.tolist()] == list(made.species)
        for row, name in enumerate(made.species):
            assert (float(made.masks[row].max()) > 0) == (name != "bonafide")
            assert bool(made.instrument_id[row]) == (name in ("print_a4", "replay_phone"))
        assert made.skipped == ()


def test_share_and_weights_are_kept() -> None:
    augment = SpoofAugment({"print_a4": 3.0, "replay_phone": 1.0}, share=0.4)
    drawn = torch.tensor([augment._choose(9, row) for row in range(4000)])
    shares = torch.bincount(drawn, minlength=3) / len(drawn)
    torch.testing.assert_close(shares, torch.tensor([0.6, 0.3, 0.1]), atol=0.03, rtol=0)


def test_same_generator_same_batch_and_rows_do_not_depend_on_the_others(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    images, landmarks = batch
    augment = SpoofAugment(["print_a4", "replay_phone"], share=0.8)
    one, two = (augment(images, generator=gen(2), landmarks=landmarks) for _ in range(2))
    assert torch.equal(one.images, two.images)
    part = augment(images[:2], generator=gen(2), landmarks=landmarks[:2])
    for name in ("images", "masks", "landmarks"):
        assert torch.equal(getattr(part, name), getattr(one, name)[:2]), name
    assert not torch.equal(one.images, augment(images, generator=gen(3), landmarks=landmarks).images)


def test_torchs_global_random_state_is_untouched(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    before = torch.get_rng_state()
    SpoofAugment(["replay_phone"], share=1.0)(batch[0][:1], generator=gen(), landmarks=batch[1][:1])
    assert torch.equal(before, torch.get_rng_state())


def test_landmarks_follow_the_instrument(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    """The landmarks that come back fit a picture shown small: eye distance shrinks with the mask's share."""
    images, landmarks = batch
    made = SpoofAugment(["replay_monitor"], share=1.0)(images, generator=gen(4), landmarks=landmarks)
    moved = made.landmarks - landmarks
    assert float(moved.abs().mean()) > 1
    assert bool((made.landmarks > -SIZE).all() and (made.landmarks < 2 * SIZE).all())


def test_five_points_a_finder_and_tight_crops_all_work(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, landmarks = batch
    five = torch.stack([torch.tensor(five_of(p.double().numpy())) for p in landmarks])
    augment = SpoofAugment(["print_photo"], share=1.0)
    assert augment(images, generator=gen(), landmarks=five).labels.tolist() == [0] * 4
    found = SpoofAugment(["print_photo"], share=1.0, find=lambda x: landmarks[: len(x)])
    given = augment(images, generator=gen(), landmarks=landmarks)
    assert torch.equal(found(images, generator=gen()).images, given.images)
    crop = torch.from_numpy(astronaut()[45:195, 150:300]).permute(2, 0, 1)[None]
    assert augment(crop, generator=gen()).labels.tolist() == [0]


def test_a_row_that_cannot_be_attacked_stays_bonafide_and_says_why(
    batch: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, landmarks = batch
    augment = SpoofAugment(["swap_blend"], share=1.0)
    alone = augment(images, generator=gen(), landmarks=landmarks, subjects=["anna"] * 4)
    assert alone.skipped == tuple((row, "no_donor") for row in range(4))
    assert alone.labels.tolist() == [1] * 4
    assert float(alone.masks.max()) == 0
    plain = SpoofAugment(["swap_blend"], share=0.0)(images, generator=gen(), landmarks=landmarks)
    assert torch.equal(plain.images, alone.images)

    def refuse(*_: object) -> None:
        raise SkipSample("swap_folds", "made up")

    monkeypatch.setattr(augment.attacks["swap_blend"], "render", refuse)
    assert augment(images, generator=gen(), landmarks=landmarks).skipped[0] == (0, "swap_folds")


def test_bona_fide_rows_stay_close_to_the_photograph(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, landmarks = batch
    made = SpoofAugment(["print_a4"], share=0.0)(images, generator=gen(), landmarks=landmarks)
    inner = (slice(None), slice(None), slice(16, -16), slice(16, -16))
    near = F.avg_pool2d(made.images[inner], 8), F.avg_pool2d(images[inner], 8)
    correlation = torch.corrcoef(torch.stack([x.flatten() for x in near]))[0, 1]
    assert float(correlation) > 0.95


def test_ablation_reaches_attack_and_camera(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, landmarks = batch
    plain = SpoofAugment(["print_a4"], share=1.0)(images, generator=gen(), landmarks=landmarks)
    off = SpoofAugment(["print_a4"], share=1.0, ablate=["cfa", "noise"])(images, generator=gen(), landmarks=landmarks)
    assert not torch.equal(plain.images, off.images)
    assert torch.equal(plain.masks, off.masks)


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"species": []}, "species"),
        ({"species": ["bonafide"]}, "species"),
        ({"species": {"print_a4": 0.0}}, "species"),
        ({"species": {"print_a4": float("inf")}}, "finite"),
        ({"species": {"print_a4": float("nan")}}, "finite"),
        ({"species": "print_a4"}, "species 'print_a4'"),
        ({"devices": "kiosk"}, "devices 'kiosk'"),
        ({"ablate": "noise"}, "ablate 'noise'"),
        ({"species": ["hologram"]}, "hologram"),
        ({"share": 1.5}, "share"),
        ({"units": 0}, "units"),
        ({"at_once": 0}, "at_once"),
        ({"devices": ["camera_obscura"]}, "camera_obscura"),
        ({"instruments": ["papyrus"]}, "papyrus"),
        ({"ablate": ["sepia"]}, "sepia"),
    ],
)
def test_bad_options_are_named(changes: dict[str, object], seen: str) -> None:
    with pytest.raises(ConfigError, match=seen):
        SpoofAugment(**({"species": ["print_a4"]} | changes))  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("images", "options", "seen"),
    [
        (torch.rand(2, 1, 64, 64), {}, "shape"),
        (torch.rand(2, 3, 64, 64) * 255, {}, "values"),
        (torch.rand(2, 3, 64, 64), {"landmarks": torch.rand(2, 12, 2)}, "landmarks"),
        (torch.rand(2, 3, 64, 64), {"landmarks": torch.full((2, 68, 2), torch.nan)}, "landmarks"),
        (torch.rand(2, 3, 64, 64), {"landmarks": 900 * torch.ones(2, 68, 2)}, "landmarks"),
        (torch.rand(2, 3, 64, 64), {"subjects": ["a"]}, "subjects"),
    ],
)
def test_bad_batches_are_named(images: torch.Tensor, options: dict[str, object], seen: str) -> None:
    with pytest.raises(DataError, match=seen):
        SpoofAugment(["print_a4"])(images, generator=gen(), **options)


_FIVE = torch.tensor([[20.0, 25], [44, 25], [32, 38], [23, 48], [41, 48]])


@pytest.mark.parametrize(
    ("points", "seen"),
    [
        (torch.rand(68, 2, generator=gen()), "row 1 lie within"),  # shares of the picture
        (torch.full((68, 2), 30.0), "row 1 lie within 0 x 0 pixels"),
        (torch.full((5, 2), 30.0), "row 1 lie within 0 x 0 pixels"),
        (_FIVE / 64, "row 1 lie within"),
        (torch.linspace(10, 50, 5)[:, None].expand(5, 2), "row 1 lie within"),
        (torch.stack([torch.linspace(10, 50, 5), torch.full((5,), 30.0)], 1), r"row 1 lie within 40 x 0 pixels"),
        (_FIVE * torch.tensor([1.0, torch.nan]), "row 1 from nan"),
        (_FIVE * torch.inf, "row 1 from inf"),
        (_FIVE * 10, "row 1 from 200 to 480"),
    ],
)
def test_points_that_are_no_face_are_refused_before_a_head_is_fitted(points: torch.Tensor, seen: str) -> None:
    other = _FIVE if len(points) == 5 else torch.rand(68, 2, generator=gen()) * 60
    with pytest.raises(DataError, match=seen):
        SpoofAugment(["print_a4"])(torch.rand(2, 3, 64, 64), generator=gen(), landmarks=torch.stack([other, points]))


def test_autocast_around_it_changes_nothing(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, landmarks = batch
    augment = SpoofAugment(["replay_phone", "print_a4"], share=0.6)
    plain = augment(images, generator=gen(5), landmarks=landmarks)
    assert len(set(plain.species)) > 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = augment(images, generator=gen(5), landmarks=landmarks)
    for name in ("images", "masks", "landmarks"):
        assert torch.equal(getattr(plain, name), getattr(cast, name)), name
    assert cast.species == plain.species


@pytest.mark.parametrize("wrong", [None, 7])
def test_a_generator_is_wanted(wrong: object) -> None:
    before = torch.get_rng_state()
    with pytest.raises(ConfigError, match="generator"):
        SpoofAugment(["print_a4"])(torch.rand(1, 3, 64, 64, generator=gen()), generator=wrong)  # type: ignore[arg-type]  # wrong on purpose
    assert torch.equal(before, torch.get_rng_state())


def test_a_sensor_smaller_than_the_picture_is_refused() -> None:
    with pytest.raises(ConfigError, match="sensor_px"):
        SpoofAugment(["print_a4"], sensor_px=32)(torch.rand(1, 3, 64, 64), generator=gen())


def test_the_pipelines_attack_is_the_same_attack(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Parameters drawn online are ordinary records: they parse back."""
    attack = build_attack("replay_phone")
    params = attack.sample(1, gen())
    assert attack.parse(json.loads(json.dumps(params.to_json()))).to_json() == params.to_json()
