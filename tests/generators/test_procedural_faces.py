"""The rendered faces: one person, many sessions, and maps that agree with each other."""

import hashlib
import math
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from spooflab.errors import ConfigError, DataError
from spooflab.generators.face import PARSING, Face, FaceRef
from spooflab.generators.faces.procedural import (
    IdentityParams,
    NuisanceParams,
    ProceduralFaces,
    render,
    sample_identity,
    sample_nuisance,
)
from spooflab.generators.faces.procedural.params import HAIR_STYLES

CLASS = {name: index for index, name in enumerate(PARSING)}


def _people(count: int, seed: int) -> tuple[IdentityParams, NuisanceParams]:
    generator = torch.Generator().manual_seed(seed)
    return sample_identity(count, generator), sample_nuisance(count, generator)


@pytest.fixture(scope="module")
def faces() -> list[Face]:
    identity, nuisance = _people(10, 3)
    return [render(identity.row(i), nuisance.row(i), 160) for i in range(10)]


@pytest.fixture(scope="module")
def crowd() -> list[Face]:
    identity, nuisance = _people(32, 5)
    return [render(identity.row(i), nuisance.row(i), 64) for i in range(32)]


def test_shapes_ranges_and_types(faces: list[Face]) -> None:
    for face in faces:
        assert face.radiance.shape == (1, 3, 160, 160)
        assert face.radiance.dtype == torch.float32
        assert bool(torch.isfinite(face.radiance).all())
        assert float(face.radiance.amin()) >= 0
        assert face.landmarks.shape == (1, 68, 2)
        assert face.box.shape == (1, 4)
        assert face.parsing is not None
        assert face.parsing.dtype == torch.uint8
        assert int(face.parsing.amax()) < len(PARSING)
        assert face.normals is not None
        assert torch.allclose(face.normals.norm(dim=1), torch.ones(1, 160, 160), atol=1e-3)
        assert face.synthetic


def test_exposure_of_skin(faces: list[Face]) -> None:
    for face in faces:
        assert face.parsing is not None
        skin = face.radiance[0, :, face.parsing[0, 0] == CLASS["skin"]].mean(0)
        assert 0.06 < float(skin.median()) < 0.7


def test_depth_is_in_real_millimetres_and_infinite_behind(faces: list[Face]) -> None:
    for face in faces:
        assert face.depth_mm is not None
        assert face.parsing is not None
        behind = face.parsing == CLASS["background"]
        assert bool(face.depth_mm[behind].isinf().all())
        skin = face.depth_mm[face.parsing == CLASS["skin"]]
        assert 280 < float(skin.amin()) < 620
        assert float(skin.amax() - skin.amin()) < 160


def test_every_parsing_class_occurs(crowd: list[Face]) -> None:
    seen = {int(value) for face in crowd if face.parsing is not None for value in face.parsing.unique()}
    assert seen == set(range(len(PARSING)))


def test_face_fills_half_to_two_thirds_of_the_width(crowd: list[Face]) -> None:
    shares = torch.cat([face.box[:, 2] for face in crowd]) / 64
    assert 0.5 < float(shares.mean()) < 0.66
    assert float(shares.amin()) > 0.4
    assert float(shares.amax()) < 0.75


def test_box_contains_the_landmarks(crowd: list[Face]) -> None:
    for face in crowd:
        x, y, width, height = face.box[0]
        points = face.landmarks[0]
        inside = (points[:, 0] >= x - 1e-3) & (points[:, 0] <= x + width + 1e-3)
        inside &= (points[:, 1] >= y - 1e-3) & (points[:, 1] <= y + height + 1e-3)
        assert bool(inside.all())


def test_landmarks_keep_left_and_right_and_up_and_down(crowd: list[Face]) -> None:
    for face in crowd:
        p = face.landmarks[0]
        five = face.landmarks5[0]
        assert five[0, 0] < five[1, 0]
        assert five[3, 0] < five[4, 0]
        assert five[:2, 1].mean() < five[2, 1] < five[3:, 1].mean()
        assert p[0, 0] < p[8, 0] < p[16, 0]
        assert p[8, 1] > p[57, 1]
        assert p[17:27, 1].mean() < p[36:48, 1].mean()
        assert p[36, 0] < p[39, 0] < p[42, 0] < p[45, 0]
        assert (p[[37, 38, 43, 44], 1].mean() < p[[41, 40, 47, 46], 1].mean()).item()


def _labels_near(face: Face, point: Tensor, radius: int) -> set[int]:
    assert face.parsing is not None
    x, y = int(point[0]), int(point[1])
    size = face.size[0]
    rows = slice(max(y - radius, 0), min(y + radius + 1, size))
    columns = slice(max(x - radius, 0), min(x + radius + 1, size))
    return {int(v) for v in face.parsing[0, 0, rows, columns].unique()}


def test_landmarks_agree_with_parsing(faces: list[Face]) -> None:
    for face in faces:
        points = face.landmarks[0]
        for eye in (points[36:42], points[42:48]):
            assert CLASS["eyes"] in _labels_near(face, eye.mean(0), 2)
        covering = {CLASS["lips"], CLASS["mouth"], CLASS["beard"]}
        for index in (50, 52, 56, 58, 62, 66):
            assert covering & _labels_near(face, points[index], 2)
        assert {CLASS["nose"], CLASS["glasses"]} & _labels_near(face, points[30], 1)


def test_jaw_follows_the_contour() -> None:
    identity, nuisance = _people(6, 8)
    bald = {"hair_style": torch.zeros(6, dtype=torch.int64), "beard_style": torch.zeros(6, dtype=torch.int64)}
    people = _changed(identity, **bald)
    for i in range(6):
        face = render(people.row(i), nuisance.row(i), 160)
        assert face.parsing is not None
        row = face.landmarks[0, [4, 12]]
        skin = face.parsing[0, 0] == CLASS["skin"]
        for point, side in zip(row, (-1, 1), strict=True):
            inside = face.parsing[0, 0, int(point[1]), max(0, min(159, int(point[0] - side * 6)))]
            assert int(inside) in {CLASS["skin"], CLASS["lips"], CLASS["mouth"]}
            columns = skin[int(point[1])].nonzero()[:, 0]
            edge = columns.max() if side > 0 else columns.min()
            assert abs(float(edge) + 0.5 - float(point[0])) < 7


def test_normals_are_the_slope_of_the_depth() -> None:
    identity, nuisance = _people(4, 21)
    bald = torch.zeros(4, dtype=torch.int64)
    identity = _changed(identity, hair_style=bald, beard_style=bald, glasses_style=bald)
    for i in range(4):
        face = render(identity.row(i), nuisance.row(i), 256)
        assert face.depth_mm is not None
        assert face.normals is not None
        assert face.parsing is not None
        depth = face.depth_mm[0, 0]
        distance, share = float(nuisance.distance_mm[i]), float(nuisance.share[i])
        # The focal length follows from the face's width; recover millimetres per pixel from the known share.
        per_px = _mm_per_px(face, identity.row(i), nuisance.row(i), distance, share)
        dzdy, dzdx = torch.gradient(depth)
        scale = per_px * depth / distance
        normal = torch.stack([dzdx / scale, dzdy / scale, -torch.ones_like(depth)])
        normal = normal / normal.norm(dim=0)
        skin = face.parsing[0, 0] == CLASS["skin"]
        solid = -torch.nn.functional.max_pool2d(-skin[None, None].float(), 7, 1, 3)[0, 0] > 0.5
        cosine = (normal * face.normals[0]).sum(0)[solid].clamp(-1, 1)
        angle = torch.rad2deg(torch.acos(cosine))
        assert len(angle) > 3000
        assert float(angle.median()) < 6
        assert float(angle.quantile(0.9)) < 14


def _mm_per_px(face: Face, identity: IdentityParams, nuisance: NuisanceParams, distance: float, share: float) -> float:
    from spooflab.generators.faces.procedural.model import head_model
    from spooflab.generators.faces.procedural.shape import build_head, camera, rotation

    head = build_head(head_model(), identity, nuisance.expression)
    turn = rotation(float(nuisance.yaw_deg), float(nuisance.pitch_deg), float(nuisance.roll_deg))
    view = camera(head, nuisance, turn, face.size[0])
    assert view.distance_mm == pytest.approx(distance)
    assert 0 < share < 1
    return distance / view.focal_px


def test_batch_equals_loop() -> None:
    identity, nuisance = _people(3, 9)
    together = render(identity, nuisance, 64)
    for i in range(3):
        alone = render(identity.row(i), nuisance.row(i), 64)
        assert torch.equal(together.radiance[i : i + 1], alone.radiance)
        assert torch.equal(together.landmarks[i : i + 1], alone.landmarks)
        assert together.depth_mm is not None
        assert alone.depth_mm is not None
        assert torch.equal(together.depth_mm[i : i + 1], alone.depth_mm)


def test_replays_from_its_record() -> None:
    source = ProceduralFaces(n_subjects=2, sessions=2, size=64, seed=4)
    ref = source.refs()[3]
    record = source.describe(ref)
    again = render(IdentityParams.from_json(record["identity"]), NuisanceParams.from_json(record["nuisance"]), 64)
    assert torch.equal(again.radiance, source.load(ref).radiance)


def test_sessions_share_the_identity_and_nothing_else() -> None:
    source = ProceduralFaces(n_subjects=3, sessions=2, size=64, seed=4)
    refs = source.refs()
    first, second, other = (source.describe(ref) for ref in (refs[0], refs[1], refs[2]))
    assert first["identity"] == second["identity"]
    assert first["nuisance"] != second["nuisance"]
    assert first["identity"] != other["identity"]
    assert refs[0].subject_id == refs[1].subject_id != refs[2].subject_id


def test_same_person_keeps_the_shape_of_the_face_in_another_session() -> None:
    source = ProceduralFaces(n_subjects=8, sessions=2, size=64, seed=12)
    refs = source.refs()
    ratios = torch.stack([_proportions(source, ref) for ref in refs]).reshape(8, 2, -1)
    ratios = (ratios - ratios.mean((0, 1))) / ratios.std((0, 1))
    gap = torch.cdist(ratios[:, 0], ratios[:, 1])
    # Neutral proportions of one person are the same in each session, to rounding.
    assert float(gap.diagonal().amax()) < 1e-3
    assert float((gap + 1e3 * torch.eye(8)).amin()) > 0.5


def _proportions(source: ProceduralFaces, ref: FaceRef) -> Tensor:
    identity, nuisance = source.params(ref)
    plain = _changed(
        nuisance,
        **{n: torch.zeros(1) for n in ("yaw_deg", "pitch_deg", "roll_deg", "body_yaw_deg")},
        expression=torch.zeros_like(nuisance.expression),
        distance_mm=torch.tensor([500.0]),
        share=torch.tensor([0.55]),
        offset=torch.zeros(1, 2),
    )
    p = render(identity, plain, 64).landmarks[0]
    span = (p[45] - p[36]).norm()
    pairs = ((27, 33), (31, 35), (48, 54), (33, 51), (57, 8), (4, 12), (39, 42), (21, 39))
    return torch.stack([(p[a] - p[b]).norm() / span for a, b in pairs])


def test_refs_are_stable_and_subjects_do_not_depend_on_how_many_there_are() -> None:
    small = ProceduralFaces(n_subjects=2, sessions=1, size=64, seed=7)
    large = ProceduralFaces(n_subjects=5, sessions=3, size=96, seed=7)
    assert [r.source_id for r in large.refs()] == [r.source_id for r in large.refs()]
    assert len({r.source_id for r in large.refs()}) == 15
    assert small.describe(small.refs()[1])["identity"] == large.describe(large.refs()[3])["identity"]
    assert large.refs()[4].record == {"subject": 1, "session": 1}
    assert {r.licence for r in large.refs()} == {"CC0-1.0"}
    assert ProceduralFaces(n_subjects=2, sessions=1, size=64, seed=8).describe(small.refs()[1]) != small.describe(
        small.refs()[1]
    )


def test_settings_rebuild_the_source() -> None:
    source = ProceduralFaces(n_subjects=2, sessions=1, size=64, seed=7)
    settings = source.settings()
    assert settings.pop("kind") == "procedural"
    assert ProceduralFaces(**settings).refs() == source.refs()


def test_load_names_subject_and_session() -> None:
    source = ProceduralFaces(n_subjects=1, sessions=1, size=64, seed=7)
    face = source.load(source.refs()[0])
    assert face.subject_id == (source.refs()[0].subject_id,)
    assert face.source_id == (source.refs()[0].source_id,)


@pytest.mark.parametrize("change", [{"n_subjects": 0}, {"sessions": 0}, {"size": 16}])
def test_bad_arguments_are_named(change: dict[str, int]) -> None:
    arguments = {"n_subjects": 1, "sessions": 1, "size": 64, "seed": 0} | change
    with pytest.raises(ConfigError, match=next(iter(change))):
        ProceduralFaces(**arguments)


@pytest.mark.parametrize("record", [{}, {"subject": 0}, {"subject": 5, "session": 0}, {"subject": "0", "session": 0}])
def test_bad_records_are_refused(record: dict[str, object]) -> None:
    source = ProceduralFaces(n_subjects=1, sessions=1, size=64, seed=0)
    with pytest.raises(DataError, match="wanted"):
        source.load(FaceRef("x", "x", "CC0-1.0", record))


def test_render_refuses_what_does_not_fit() -> None:
    identity, nuisance = _people(2, 0)
    with pytest.raises(ValueError, match="size is 8"):
        render(identity, nuisance, 8)
    with pytest.raises(ValueError, match="2 identities for 1 sessions"):
        render(identity, nuisance.row(0), 64)


def test_sampling_covers_people() -> None:
    identity, _ = _people(2000, 1)
    counts = torch.bincount(identity.hair_style, minlength=len(HAIR_STYLES))
    assert int(counts.amin()) > 0
    assert 0.4 < float((identity.masculinity > 0.5).float().mean()) < 0.6
    assert float(identity.age_years.amin()) >= 18
    assert float(identity.age_years.amax()) <= 80
    assert float(identity.melanin.amin()) < 0.02
    assert float(identity.melanin.amax()) > 0.38
    assert torch.allclose(identity.ancestry.sum(1), torch.ones(2000), atol=1e-5)
    assert int((identity.beard_style[identity.masculinity < 0.5]).sum()) == 0


_CHILD = """
import hashlib, torch
torch.set_num_threads(1)
from spooflab.generators.faces.procedural import ProceduralFaces
s = ProceduralFaces(n_subjects=3, sessions=1, size=64, seed=2)
for r in reversed(s.refs()):
    f = s.load(r)
    print(hashlib.sha256(f.radiance.numpy().tobytes() + f.landmarks.numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_another_process_draws_the_same_bytes() -> None:
    child = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        source = ProceduralFaces(n_subjects=3, sessions=1, size=64, seed=2)
        here = [source.load(ref) for ref in source.refs()]
    finally:
        torch.set_num_threads(threads)
    mine = [hashlib.sha256(f.radiance.numpy().tobytes() + f.landmarks.numpy().tobytes()).hexdigest() for f in here]
    assert child.stdout.split() == mine[::-1]


def _changed(params: IdentityParams | NuisanceParams, **changes: Tensor):  # type: ignore[no-untyped-def]  # either kind
    import dataclasses

    return dataclasses.replace(params, **changes)


def test_turning_the_head_turns_the_landmarks() -> None:
    identity, nuisance = _people(1, 2)
    flat = {n: torch.zeros(1) for n in ("pitch_deg", "roll_deg", "body_yaw_deg")}
    right, left, rolled = (
        render(identity, _changed(nuisance, **flat, yaw_deg=torch.tensor([yaw])), 64).landmarks[0]
        for yaw in (20.0, -20.0, 0.0)
    )
    middle = [float(p[30, 0] - (p[36, 0] + p[45, 0]) / 2) for p in (right, left, rolled)]
    assert middle[0] > middle[2] > middle[1]
    tilt = render(
        identity, _changed(nuisance, **(flat | {"roll_deg": torch.tensor([10.0])}), yaw_deg=torch.zeros(1)), 64
    ).landmarks[0]
    slope = math.degrees(math.atan2(float(tilt[45, 1] - tilt[36, 1]), float(tilt[45, 0] - tilt[36, 0])))
    assert slope == pytest.approx(10, abs=1.5)


def test_slivers_of_the_mesh_leave_no_sparks() -> None:
    # This person's inner eye corner has a sliver on which attributes used to be extrapolated to 40 times white.
    identity, nuisance = _people(64, 11)
    face = render(identity.row(10), nuisance.row(10), 192)
    assert face.parsing is not None
    skin = face.radiance[0, :, face.parsing[0, 0] == CLASS["skin"]]
    assert float(skin.amax()) < 2


def test_highlights_stay_within_bounds(crowd: list[Face]) -> None:
    for face in crowd:
        assert face.parsing is not None
        assert float(face.radiance[0, :, face.parsing[0, 0] > 0].amax()) < 8


@pytest.mark.slow
def test_skin_of_every_tone_has_the_hue_of_skin() -> None:
    """Red over green over blue on the median skin pixel, dark skin too: a shading slip once turned it purple."""
    source = ProceduralFaces(n_subjects=24, sessions=1, size=64, seed=11)
    medians = []
    for ref in source.refs():
        face = source.load(ref)
        assert face.parsing is not None
        skin = face.radiance[0][:, face.parsing[0, 0] == PARSING.index("skin")]
        medians.append(skin.median(dim=1).values)
    red, green, blue = torch.stack(medians).unbind(1)
    assert red.min() < 0.5 * red.max(), "the subjects should span light and dark skin"
    assert (red > 1.05 * green).all()
    assert (green > 0.95 * blue).all()
