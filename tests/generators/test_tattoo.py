"""Ink below skin: its colour shift, its blur, and what a transfer's film does."""

from dataclasses import replace

import pytest
import torch

from spooflab.generators.attacks.disguises.tattoo import SCATTERING, Tattoo, TattooParams, draw, lay_ink, places_seen
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.geometry import read_geometry
from spooflab.generators.instruments.kubelka_munk import over, pigment
from spooflab.generators.instruments.skin_canvas import SkinCanvas
from spooflab.generators.instruments.tattoo_bank import ink_of, load_tattoos
from spooflab.generators.instruments.tattoo_designs import MOTIFS
from spooflab.seeds import generator

FAIR = torch.tensor([0.60, 0.42, 0.33])


@pytest.fixture(scope="module")
def face() -> Face:
    source = ProceduralFaces(n_subjects=2, sessions=1, size=192, seed=21)
    return source.load(source.refs()[0])


def params_of(name: str, seed: int = 3) -> TattooParams:
    return Tattoo(instruments=(name,)).sample(1, generator(seed, name))


def test_skin_above_black_ink_makes_it_lighter_and_bluer() -> None:
    """Against the closed form for a layer over black: R = u / (1 + a u), u = tanh(b S X) / b."""
    skin = torch.tensor([0.55, 0.36, 0.27])
    veil = pigment(skin, torch.tensor(SCATTERING) * 0.12)
    black = over(veil, torch.ones(1, 1), torch.zeros(3, 1, 1))[:, 0, 0]
    a = 1 + (1 - skin) ** 2 / (2 * skin)
    b = (a**2 - 1).sqrt()
    u = torch.tanh(b * torch.tensor(SCATTERING) * 0.12) / b
    torch.testing.assert_close(black, u / (1 + a * u))
    assert float(black[2]) > float(black[1]) > float(black[0]) > 0.03
    # Jacques's scattering law at 620, 540 and 460 nm.
    law = [0.409 * (w / 500) ** -4 + 0.591 * (w / 500) ** -0.562 for w in (620, 540, 460)]
    torch.testing.assert_close(torch.tensor(SCATTERING), torch.tensor([v / law[1] for v in law]), atol=0.01, rtol=0)


def test_the_veil_leaves_bare_skin_alone_and_lifts_ink(face: Face) -> None:
    entry = load_tattoos()["faded_blue"]
    with torch.inference_mode():
        geometry = read_geometry(face)
        painted = {}
        for veil in (0.0, 0.15):
            canvas = SkinCanvas.of(face, geometry)
            canvas.bring_to_full()
            # Fair, even skin: on dark skin melanin takes the blue away again.
            canvas.painted = FAIR[:, None, None].repeat(1, *canvas.window.shape)
            canvas.colour = replace(canvas.colour, mean=FAIR)
            window = canvas.window
            density = torch.zeros(1, *window.shape)
            density[:, :, : window.shape[1] // 2] = 1.0
            lay_ink(canvas, window, entry, density, veil)
            painted[veil] = canvas.painted
        half = painted[0.0].shape[2] // 2
    for veil in painted:
        torch.testing.assert_close(painted[veil][:, 10, half + 10], FAIR, atol=1e-5, rtol=1e-4)
    inked = [painted[veil][:, 10, 10] for veil in (0.0, 0.15)]
    assert bool((inked[1] > inked[0]).all())
    assert float(inked[1][2] / inked[1][0]) > float(inked[0][2] / inked[0][0])


def test_blur_spreads_edges_by_its_millimetres() -> None:
    """The steepest slope of an edge under a Gaussian is 1 / (σ √2π)."""
    params = params_of("blackwork_face")
    entry = load_tattoos()["blackwork_face"]
    seen = {("forehead", 1): 1.0}
    sharp = draw(entry, params, seen, 100.0)
    for sigma in (0.6, 1.0):
        soft = sharp.soften(sigma).planes[0]
        slope = (soft[1:] - soft[:-1]).abs().amax() * sharp.px_per_mm
        assert float(slope) == pytest.approx(1 / (sigma * 2.5066), rel=0.1)


def test_without_scatter_lines_are_darker_and_sharper(face: Face) -> None:
    whole, bare = Tattoo(instruments=("faded_blue",)), Tattoo(instruments=("faded_blue",), ablate=("scatter",))
    with torch.inference_mode():
        pictures = [a.apply(face, None, a.sample(1, generator(6))).face.radiance for a in (whole, bare)]
    change = [(face.radiance - p).clamp(min=0).mean(1) for p in pictures]
    assert float(change[1].amax()) > 1.15 * float(change[0].amax())


def test_a_film_shines_and_its_ablation_does_not(face: Face) -> None:
    whole, dull = Tattoo(instruments=("transfer_sheet",)), Tattoo(instruments=("transfer_sheet",), ablate=("gloss",))
    with torch.inference_mode():
        lit, matt = (a.apply(face, None, a.sample(1, generator(6))) for a in (whole, dull))
    added = lit.face.radiance - matt.face.radiance
    assert float(added.min()) >= -1e-6
    assert float(added.max()) > 0.005
    masks = lit.face.spoof_mask, matt.face.spoof_mask
    assert masks[0] is not None
    assert masks[1] is not None
    assert torch.equal(masks[0], masks[1])


@pytest.mark.parametrize("name", list(MOTIFS))
def test_every_motif_draws_something_on_the_face(name: str) -> None:
    bank = load_tattoos()
    entry = next(e for e in bank.values() if name in e.designs).model_copy(update={"designs": (name,)})
    seen = {("cheek", 1): 1.0, ("forehead", 1): 1.0, ("under_eye", 1): 1.0, ("temple", -1): 1.0, ("jaw", 1): 1.0}
    planes = draw(entry, params_of(entry.id), seen, 400.0).planes
    assert planes.shape[0] == len(entry.inks)
    assert 0.001 < float((planes.amax(0) > 0.5).float().mean()) < 0.6


def test_ink_goes_where_it_is_seen(face: Face) -> None:
    """Turned heads hide one side: places in sight have the larger share."""
    with torch.inference_mode():
        canvas = SkinCanvas.of(face, read_geometry(face))
        shares = places_seen(canvas)
        canvas.skin[:, : canvas.skin.shape[1] // 2] = 0
        covered = places_seen(canvas)
    assert all(0 <= share <= 1 for share in shares.values())
    assert shares["forehead", 1] > 0.4
    assert covered["cheek", -1] < 0.3 * shares["cheek", -1] + 1e-6
    assert covered["cheek", 1] == pytest.approx(shares["cheek", 1], abs=0.1)


def test_stains_absorb_and_never_lighten() -> None:
    entry = load_tattoos()["henna_stain"]
    ink = ink_of(entry, 0)
    assert float(ink.masstone[0]) > 2 * float(ink.masstone[2])
