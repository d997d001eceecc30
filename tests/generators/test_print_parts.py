"""What prints are made of, against closed forms and independent computations: ink, glare, folds, mounts, formats."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from spooflab.augment.view import View
from spooflab.generators.attacks.prints.creases import Creases, crease_slopes, creased, sample_creases, worn
from spooflab.generators.attacks.prints.lamp import LAMPS, Lamp, lamp_frame, lamp_gloss, lamp_light, sample_lamp
from spooflab.generators.attacks.prints.layout import POSTER_MM, lay_out
from spooflab.generators.attacks.prints.mount import MOUNTS, PIECES, WALLS, sample_mount, wall_radiance
from spooflab.generators.attacks.prints.params import sample_print
from spooflab.generators.attacks.prints.process import (
    Printing,
    ground_reflectance,
    paper_of,
    printed_reflectance,
    sample_printing,
)
from spooflab.generators.instruments.ink_colour import luminance
from spooflab.generators.instruments.paper import Paper, choose_papers, load_papers
from spooflab.generators.instruments.paper_bend import SHAPES, sample_bend, surface
from spooflab.generators.instruments.paper_texture import fibre_at, weave_tile
from spooflab.generators.pose import Pose
from spooflab.generators.scene import Scene
from spooflab.seeds import generator

F64 = NDArray[np.float64]


def calm(paper: Paper) -> Printing:
    """The printer as it was characterised."""
    printing, _ = sample_printing([paper], 1, generator(0, "calm"))
    zero = torch.zeros(1, 4)
    return replace(
        printing, tone_drift=zero, density_drift=zero, misregistration_mm=torch.zeros(1, 4, 2),
        quality=torch.tensor([100]),
    )  # fmt: skip


# --- ink: an independent conversion in NumPy -------------------------------------------------------------------------

LAB_TO_SRGB = np.array(  # D50 XYZ to linear sRGB, Bradford (Lindbloom)
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)


def reference_rgb(lab: tuple[float, float, float]) -> F64:
    """CIE 15: L*a*b* to XYZ (D50) to linear sRGB, floored as the bank's inks are."""
    fy = (lab[0] + 16) / 116
    f = np.array([fy + lab[1] / 500, fy, fy - lab[2] / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * np.array([0.96422, 1.0, 0.82521])
    rgb: F64 = np.maximum(LAB_TO_SRGB @ xyz, 0.003)
    return rgb


def reference_print(paper: Paper, cmyk: tuple[float, ...]) -> F64:
    """Demichel's 16 areas, Yule-Nielsen mixing, loops and all."""
    inks = paper.inks_lab
    assert inks is not None
    base = {
        "": paper.white_lab, "c": inks.c, "m": inks.m, "y": inks.y, "cm": inks.cm, "cy": inks.cy, "my": inks.my,
        "cmy": inks.cmy,
    }  # fmt: skip
    white, black = reference_rgb(paper.white_lab), reference_rgb(inks.k)
    grown = [min(1.0, a + 4 * paper.dot_gain * a * (1 - a)) for a in cmyk]
    total = np.zeros(3)
    for which in range(16):
        names = "".join(ink for bit, ink in enumerate("cmy") if which >> bit & 1)
        rgb = reference_rgb(base[names])
        if which & 8:
            rgb = np.maximum(black * np.clip(rgb / white, 0.01, 1.0) ** 0.35, 0.003)
        area = math.prod(grown[bit] if which >> bit & 1 else 1 - grown[bit] for bit in range(4))
        total += area * rgb ** (1 / paper.yule_nielsen_n)
    mixed: F64 = total**paper.yule_nielsen_n
    return mixed


@pytest.mark.parametrize("name", ["laser_office_141", "banner_pvc_720", "poster_offset_175", "laser_fine_212"])
def test_forward_model_is_the_reference(name: str) -> None:
    paper = load_papers()[name]
    model = paper.ink_model()
    amounts = np.random.default_rng(3).random((40, 4))
    for row in amounts:
        got = model.reflectance(torch.tensor(row[None], dtype=torch.float32))[0].numpy()
        assert np.abs(got - reference_print(paper, tuple(row))).max() < 2e-4


@pytest.mark.parametrize("name", ["laser_office_141", "poster_satin_720", "inkjet_pigment_1200"])
def test_printed_patches_are_what_the_reference_prints_of_their_separation(name: str) -> None:
    """A patch that the printer can print comes back as asked: the mean error against the file is that of the table."""
    paper = load_papers()[name]
    printing = replace(calm(paper), face_level=torch.tensor([0.25]))
    box = torch.tensor([0.0, 0.0, 32.0, 32.0])
    for colour in ((0.25, 0.25, 0.25), (0.35, 0.22, 0.16), (0.2, 0.27, 0.22)):
        flat = torch.tensor(colour)[:, None, None].expand(3, 32, 32).contiguous()
        level = float(luminance(torch.tensor(colour)))
        quiet = paper.model_copy(update={"faults": paper.faults.model_copy(update={"banding": 0.0, "mottle": 0.0})})
        got = printed_reflectance(flat, box, printing, 0.5, off=("banding",)).mean((1, 2))
        white = torch.tensor(reference_rgb(paper.white_lab), dtype=torch.float32)
        black = float(
            luminance(quiet.ink_model().reflectance(torch.tensor([0.75, 0.65, 0.65, 1.0]))) / luminance(white)
        )
        asked = white * (black + (1 - black) * torch.tensor(colour) * 0.25 / level)
        assert torch.allclose(got, asked, rtol=0.06, atol=0.008), (got, asked)


def test_lifted_black_follows_the_darkest_ink() -> None:
    """An all-black file prints at the reference's reflectance of the darkest neutral."""
    for name in ("newsprint_85", "laser_office_141", "poster_gloss_laminate_720"):
        paper = load_papers()[name]
        flat = torch.zeros(3, 32, 32)
        got = printed_reflectance(flat, torch.tensor([0.0, 0.0, 32.0, 32.0]), calm(paper), 0.5, off=("banding",))
        darkest = reference_print(paper, (0.75, 0.65, 0.65, 1.0)) @ np.array([0.2225, 0.7169, 0.0606])
        assert float(luminance(got.mean((1, 2)))) == pytest.approx(darkest, rel=0.3)


def test_careless_printers_cast_more() -> None:
    printing, papers = sample_printing(choose_papers(None, ("a4",)), 400, generator(1, "cast"))
    drift = printing.tone_drift.std(1)
    assert float(drift.quantile(0.9)) > 2.5 * float(drift.quantile(0.3))
    assert 0.07 < float((printing.density_drift < -0.12).any(-1).float().mean()) < 0.3
    weights = {p.id: p.weight for p in papers}
    share = sum(p.id == "copier_coarse_75" for p in papers) / 400
    total = sum(p.weight for p in choose_papers(None, ("a4",)))
    assert share == pytest.approx(weights["copier_coarse_75"] / total, abs=0.02)


def test_even_ground_is_printed_colour() -> None:
    paper = load_papers()["poster_offset_175"]
    red = ground_reflectance(torch.tensor([0.8, 0.1, 0.1]), paper)
    assert float(red[0]) > 4 * float(red[1])
    assert torch.allclose(ground_reflectance(torch.ones(3), paper), paper.ink_model().white, atol=3e-3)
    printing, _ = sample_printing([paper], 1, generator(0, "x"))
    assert paper_of(printing).id == paper.id


# --- glare -----------------------------------------------------------------------------------------------------------


def lamp_of(kind: str = "round", aim: tuple[float, float] = (0.2, -0.15), **changes: Tensor) -> Lamp:
    drawn = sample_lamp(1, generator(0, "lamp"))
    lamp = replace(drawn, kind=torch.tensor([LAMPS.index(kind)]), aim=torch.tensor([aim]),
                   half_deg=torch.tensor([[1.5, 1.5]]), turn_deg=torch.zeros(1), level=torch.ones(1))  # fmt: skip
    return replace(lamp, **changes)


@pytest.mark.parametrize("aim", [(0.0, 0.0), (0.2, -0.15), (-0.35, 0.3)])
@pytest.mark.parametrize("tilt", [(0.0, 0.0), (14.0, -10.0)])
def test_glare_is_where_the_mirror_shows_the_lamp(aim: tuple[float, float], tilt: tuple[float, float]) -> None:
    """The brightest point of a flat, smooth sheet is the one whose mirror image of the lamp the camera sees.

    Independent: the image of a far lamp towards l in a plane of normal n appears towards 2 (n . l) n - l seen from the
    sheet, whatever the point; the camera meets that direction in one pixel.
    """
    view = View.ideal(200, 200, binning=8)
    pose = Pose(torch.tensor([[0.0, 0.0, 400.0]]), torch.tensor([tilt[0]]), torch.tensor([tilt[1]]), torch.zeros(1))
    lamp = lamp_of(aim=aim)
    frame = lamp_frame(lamp, view, pose)
    yaw, pitch = math.radians(tilt[0]), math.radians(tilt[1])
    n = np.array([-math.sin(yaw) * math.cos(pitch), -math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
    to_lamp = frame[0].double().numpy()
    eye = 2 * (n @ to_lamp) * n - to_lamp
    ray = -eye / -eye[2]
    focal_px = 4.25 / (1.4e-3 * 8)
    expected = np.array([ray[0], ray[1]]) * focal_px + 100
    assert expected == pytest.approx([(0.5 + aim[0]) * 200, (0.5 + aim[1]) * 200], abs=0.02)
    y, x = torch.meshgrid(torch.arange(200) + 0.5, torch.arange(200) + 0.5, indexing="ij")
    rays = torch.stack([(x - 100) / focal_px, (y - 100) / focal_px, torch.ones_like(x)], -1)
    eyes = -rays / rays.norm(dim=-1, keepdim=True)
    normal = torch.tensor(-n, dtype=torch.float32).expand(200, 200, 3)
    seen = lamp_gloss(lamp, frame, torch.ones(3), normal, eyes, 0.05, 0.045)[1]
    core = seen > 0.8 * seen.max()
    assert float(x[core].mean()) == pytest.approx(expected[0], abs=2.5)
    assert float(y[core].mean()) == pytest.approx(expected[1], abs=2.5)


def test_mirrored_energy_does_not_depend_on_the_lamps_points() -> None:
    """A window summed over many points mirrors as much light as a small lamp of the same illumination, spread wider."""
    view = View.ideal(160, 160, binning=24)
    pose = Pose(torch.tensor([[0.0, 0.0, 400.0]]), torch.zeros(1), torch.zeros(1), torch.zeros(1))
    focal_px = 4.25 / (1.4e-3 * 24)
    y, x = torch.meshgrid(torch.arange(160) + 0.5, torch.arange(160) + 0.5, indexing="ij")
    rays = torch.stack([(x - 80) / focal_px, (y - 80) / focal_px, torch.ones_like(x)], -1)
    eyes = -rays / rays.norm(dim=-1, keepdim=True)
    normal = torch.tensor([0.0, 0.0, -1.0]).expand(160, 160, 3)
    sums, peaks = [], []
    for kind, half in (("round", (1.0, 1.0)), ("window", (7.0, 9.0))):
        lamp = lamp_of(kind, (0.0, 0.0), half_deg=torch.tensor([half]))
        image = lamp_gloss(lamp, lamp_frame(lamp, view, pose), torch.ones(3), normal, eyes, 0.06, 0.045)[0]
        sums.append(float(image.sum()))
        peaks.append(float(image.max()))
    assert sums[1] == pytest.approx(sums[0], rel=0.15)
    assert peaks[1] < 0.5 * peaks[0]


def test_half_of_the_sheets_have_a_lamp_and_none_lights_nothing() -> None:
    lamps = sample_lamp(400, generator(2, "lamps"))
    assert float((lamps.kind > 0).float().mean()) == pytest.approx(0.5, abs=0.08)
    room = Scene().sample(1, generator(0, "room"))
    assert float(lamp_light(lamp_of("none"), room).abs().max()) == 0
    assert float(luminance(lamp_light(lamp_of(), room))) == pytest.approx(float(room.ambient_rgb.mean()), rel=0.05)


# --- folds -----------------------------------------------------------------------------------------------------------


def folded(**changes: Tensor) -> Creases:
    base = sample_creases(torch.ones(1), torch.zeros(1), torch.tensor([[420.0, 594.0]]), generator(0, "folds"))
    creases = replace(base, folds=torch.tensor([[1, 0]]), fold_slope=torch.tensor([0.1]), wear=torch.tensor([0.5]),
                      fold_reach_mm=torch.tensor([20.0]), crumple=torch.zeros(1))  # fmt: skip
    return replace(creases, **changes)


def test_fold_is_a_ridge_that_fades() -> None:
    """Across one fold the slope jumps from -a to a and halves every reach; the height (its integral) is continuous."""
    sheet = torch.tensor([420.0, 594.0])
    u = torch.linspace(-200, 200, 4001)[None]
    slope, along = crease_slopes(folded(), u, torch.zeros_like(u), sheet)
    assert float(along.abs().max()) == 0
    jump = (slope[0, 1:] - slope[0, :-1]).abs().argmax()
    at, top = u[0, jump], slope.abs().max()
    assert abs(float(at)) < 0.1 * 420  # half way across, but for a small error
    expected = top * torch.sign(u - at) / (1 + ((u - at) / 20) ** 2) * torch.sign(slope[0, jump + 5])
    near = (u - at).abs() > 0.5
    assert torch.allclose(slope[near], expected[near], atol=0.004)
    assert 0.05 < float(top) < 0.15


def test_fold_lines_stand_evenly_and_lose_ink() -> None:
    sheet = torch.tensor([420.0, 594.0])
    v, u = torch.meshgrid(torch.linspace(-297, 297, 595), torch.linspace(-210, 210, 421), indexing="ij")
    lost = worn(folded(folds=torch.tensor([[3, 1]])), u, v, sheet, 1.0)
    assert lost is not None
    columns, rows = lost[20].clamp(min=0), lost[:, 20]
    found = [int(i) for i in (columns > 0.5 * columns.max()).nonzero()[:, 0]]
    groups = [i for k, i in enumerate(found) if k == 0 or i - found[k - 1] > 3]
    assert len(groups) == 3
    for place, expected in zip(groups, (105, 210, 315), strict=True):
        assert abs(place - expected) < 0.08 * 420
    assert int((rows > 0.5 * rows.max()).sum()) <= 4
    assert worn(folded(wear=torch.zeros(1)), u, v, sheet, 1.0) is None


def test_crumpled_slopes_have_their_size_and_facets() -> None:
    creases = folded(folds=torch.tensor([[0, 0]]), crumple=torch.tensor([0.1]), facet_mm=torch.tensor([300.0]))
    v, u = torch.meshgrid(torch.linspace(-140, 140, 561), torch.linspace(-140, 140, 561), indexing="ij")
    slopes = torch.stack(crease_slopes(creases, u, v, torch.tensor([300.0, 300.0])))
    rms = float(slopes.square().mean().sqrt())
    assert rms == pytest.approx(0.1, rel=0.35)
    steps = (slopes[:, :, 1:] - slopes[:, :, :-1]).abs().amax(0)
    assert float((steps < 1e-6).float().mean()) > 0.85  # facets are plane
    assert float(steps.max()) > 0.05
    assert creased(creases)
    assert not creased(folded(folds=torch.tensor([[0, 0]])))


# --- mounts, walls, formats ------------------------------------------------------------------------------------------


def test_walls_take_the_sheets_shadow_on_the_far_side_of_the_light() -> None:
    room = Scene().sample(1, generator(0, "wall"))
    lit = replace(room, key_direction=torch.tensor([[-0.6, 0.0, -0.8]]), key_rgb=torch.ones(1, 3),
                  ambient_rgb=torch.full((1, 3), 0.3), key_radius_deg=torch.tensor([1.0]))  # fmt: skip
    mount = sample_mount(torch.ones(1), torch.zeros(1), generator(0, "wall"))
    plain = replace(mount, wall=torch.zeros(1, dtype=torch.int64), grain=torch.zeros(1), gap_mm=torch.tensor([8.0]))
    pose = Pose(torch.tensor([[0.0, 0.0, 700.0]]), torch.zeros(1), torch.zeros(1), torch.zeros(1))
    v, u = torch.meshgrid(torch.linspace(-200, 200, 401), torch.linspace(-200, 200, 401), indexing="ij")
    wall = wall_radiance(plain, lit, pose, u, v, torch.tensor([200.0, 280.0]), 1.0)[1, 200]
    shift = 8 * 0.6 / 0.8  # a gap g and a slope tan put the edge g tan further on
    right, left, far = wall[300 + round(shift / 2)], wall[100 - round(shift / 2)], wall[390]
    assert float(right) < 0.55 * float(left)
    edge = (wall[300:330] > (wall[302] + far) / 2).nonzero()[0]
    assert float(edge) == pytest.approx(shift, abs=2)


def test_every_mount_piece_and_wall_is_drawn() -> None:
    n = 600
    mount = sample_mount(torch.full((n,), 0.4), torch.full((n,), 0.3), generator(0, "mounts"))
    share = torch.bincount(mount.kind, minlength=len(MOUNTS)) / n
    assert share.tolist() == pytest.approx([0.3, 0.3, 0.4], abs=0.06)
    assert set(mount.piece.tolist()) == set(range(len(PIECES)))
    assert set(mount.wall.tolist()) == set(range(len(WALLS)))
    assert bool((mount.piece[mount.kind == 0] == 0).all())


def test_posters_have_their_formats() -> None:
    papers = choose_papers(None, ("poster",))
    layout = lay_out([papers[i % len(papers)] for i in range(400)], generator(0, "formats"))
    formats = {tuple(sorted(size)) for size in layout.sheet_mm.tolist()}
    assert formats == {tuple(sorted(size)) for size in POSTER_MM}
    assert 0.3 < float((layout.margin_mm > 0).float().mean()) < 0.75  # white borders
    assert float((layout.ground < 1).any(-1).float().mean()) > 0.4
    assert bool((layout.picture_mm <= 1.06 * layout.sheet_mm.amax(-1)).all())


def test_posters_hang_stand_or_are_held_and_only_thin_paper_is_folded() -> None:
    papers = choose_papers(None, ("poster",))
    params = sample_print(papers, Scene(), 400, generator(0, "posters"), ablated=torch.zeros(400, dtype=torch.int64))
    kinds = torch.bincount(params.mount.kind, minlength=3) / 400
    assert float(kinds[2]) == pytest.approx(0.52, abs=0.1)
    hung = params.mount.kind == MOUNTS.index("wall")
    assert bool((params.scene.hand_style[hung] == 0).all())
    assert bool((params.bend.curvature_per_mm[hung] <= 0).all())  # a wall is behind it
    creased_ones = params.creases.folds.sum(-1) > 0
    thin = torch.tensor([paper_of(params.printing.row(i)).surface.folds for i in range(400)])
    assert not bool((creased_ones & ~thin).any())
    assert float(creased_ones[thin].float().mean()) > 0.25
    assert set(params.film.tolist()) == {0}
    face_mm = params.picture_mm * 0.55
    assert float(face_mm.median()) > 150  # life-size and larger


def test_curled_ends_leave_the_middle_flat() -> None:
    size = torch.tensor([[594.0, 841.0]]).expand(400, 2)
    bend = sample_bend(size, generator(0, "curl"))
    which = int((bend.shape == SHAPES.index("curl")).nonzero()[0])
    row = bend.row(which)
    v = torch.linspace(-420, 420, 841)
    depth = surface(row, torch.stack([torch.zeros_like(v), v], -1)[None])[0, :, 2]
    assert float(depth[(v.abs() < 300)].abs().max()) < 1e-4
    assert min(abs(float(depth[0])), abs(float(depth[-1]))) > 3
    assert float(depth[0]) * float(depth[-1]) > 0  # both ends the same way, as it lay on the roll


# --- texture ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("woven", [False, True])
def test_texture_fades_where_pixels_average_it(woven: bool) -> None:
    """Contrast at a pixel of k texels is that of the tile averaged over k x k texels."""
    v, u = torch.meshgrid(torch.arange(256) * 1.0, torch.arange(256) * 1.0, indexing="ij")
    fibre, texel = (0.8, 0.1) if woven else (0.8, 0.4)
    contrast = []
    for scale in (1, 4, 16):
        pixel = texel * scale
        seen = fibre_at(u * pixel, v * pixel, fibre, (0.0, 0.0), mm_per_px=pixel, woven=woven)
        contrast.append(float(seen.std()))
    assert contrast[0] == pytest.approx(1, abs=0.1)
    assert contrast[2] < contrast[1] < contrast[0]
    assert contrast[2] < (0.25 if woven else 0.6)


def test_weave_repeats_with_its_threads() -> None:
    """The strongest frequency of the weave is one cycle every two threads along both axes."""
    spectrum = torch.fft.rfft2(weave_tile()).abs()
    spectrum[0, 0] = 0
    row, column = divmod(int(spectrum.argmax()), spectrum.shape[1])
    folded_row = min(row, 256 - row)
    assert (folded_row, column) in {(16, 16), (0, 32), (32, 0)}  # 32 threads of eight texels
