"""Effects of a replay switched off one by one: the picture changes, the effect's own measure vanishes."""

import pytest
import torch
from torch import Tensor

from spooflab.augment.view import View
from spooflab.errors import ConfigError
from spooflab.generators.attack import Rendered
from spooflab.generators.attacks.replays.ablation import EFFECTS, neutralised, switched_off
from spooflab.generators.attacks.replays.content import first_photograph
from spooflab.generators.attacks.replays.params import ReplayParams
from spooflab.generators.attacks.replays.replay import Replay
from spooflab.generators.attacks.replays.replay_monitor import ReplayMonitor
from spooflab.generators.attacks.replays.replay_phone import ReplayPhone
from spooflab.generators.attacks.replays.replay_tablet import ReplayTablet
from spooflab.generators.attacks.replays.replay_tv import ReplayTV
from spooflab.generators.face import Face
from spooflab.generators.instruments.panel import load_panels
from spooflab.generators.instruments.panel_figures import panel_figures
from spooflab.seeds import generator

SIZE = 64
KINDS: tuple[type[Replay], ...] = (ReplayPhone, ReplayTablet, ReplayMonitor, ReplayTV)
MOST_SLOW = [k if k is ReplayTablet else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]
BANK = load_panels()
PANELS = {panel.id: panel for panel in BANK.panels}


def face(batch: int = 1, level: float | None = None) -> Face:
    """Return a coloured gradient with a face box in the middle."""
    y, x = torch.meshgrid(torch.linspace(0, 1, SIZE), torch.linspace(0, 1, SIZE), indexing="ij")
    wave = 0.5 + 0.5 * torch.sin(40 * x + 13 * y)
    picture = torch.stack([0.05 + 0.6 * x * wave, 0.04 + 0.3 * y, 0.06 + 0.5 * (1 - x) * (1 - wave)])
    if level is not None:
        picture = torch.full((3, SIZE, SIZE), level)
    marks = SIZE * (0.5 + 0.2 * torch.stack([torch.linspace(0, 6.2, 68).cos(), torch.linspace(0, 6.2, 68).sin()], -1))
    return Face(
        radiance=picture.expand(batch, -1, -1, -1).clone(),
        landmarks=marks.expand(batch, -1, -1).clone(),
        box=(SIZE * torch.tensor([0.26, 0.18, 0.48, 0.64])).expand(batch, -1).clone(),
        subject_id=("s",) * batch,
        source_id=("f",) * batch,
    )


def view(batch: int = 1, **fields: float) -> View:
    """Return a small, sharp sensor with a slow rolling shutter."""
    options = {"blur_px": 0.25, "readout_ms": 22.0, "exposure_ms": 1.3, "phase_ms": 3.0} | fields
    return View.ideal(SIZE, SIZE, batch_size=batch, pitch_um=1.4 * 256 / SIZE, **options)


def with_fields(params: ReplayParams, **fields: Tensor) -> ReplayParams:
    return ReplayParams(**{**params.__dict__, **fields})


def instruments(kind: type[Replay], name: str) -> list[str]:
    """Return the panels of a species that show the effect."""
    chosen = [PANELS[i] for i in BANK.ids(kind.style.kinds)]
    if name == "white_extraction":
        chosen = [p for p in chosen if p.white]
    if name == "sparkle":
        chosen = [p for p in chosen if p.glass.sparkle > 0.02]
    if name == "colour":
        chosen = [p for p in chosen if p.primaries.white[0] < 0.305]
    if name == "flicker":
        chosen = [p for p in chosen if p.light.pulse_depth > 0.2 and p.light.pulse_hz < 600]
    return [p.id for p in chosen]


def at_work(kind: type[Replay], name: str, seed: int) -> tuple[ReplayParams, ReplayParams, View]:
    """Return the same draw with every effect, and with one switched off, and a camera that can see it."""
    ids = instruments(kind, name)
    full, less = kind(BANK, instruments=ids), kind(BANK, instruments=ids, ablate=[name])
    params, ablated = (a.sample(1, generator(seed, name)) for a in (full, less))
    assert ablated.ablated.tolist() == [1 << EFFECTS.index(name)]
    assert with_fields(ablated, ablated=params.ablated).to_json() == params.to_json()
    near = kind.style.nearest_mm[0] if name in ("sparkle", "lattice") else None
    if near is not None:  # a face as large as the frame, from as near as may be
        fields = {"share": torch.tensor([2.0]), "nearest_mm": torch.tensor([near])}
        params, ablated = with_fields(params, **fields), with_fields(ablated, **fields)
    return params, ablated, view()


@pytest.mark.parametrize("name", EFFECTS)
@pytest.mark.parametrize("kind", MOST_SLOW, ids=lambda k: k.species)
def test_an_effect_switched_off_changes_the_picture(kind: type[Replay], name: str) -> None:
    attack, visible = kind(BANK), 0.002 if name == "smears" else 0.01
    if name == "hand" and kind.style.hand_share == 0:
        assert not bool((attack.sample(50, generator(1, "hand")).scene.hand_style > 0).any())
        return
    for seed in range(12):
        params, ablated, shot = at_work(kind, name, seed)
        full, less = (attack.render(face(), shot, p) for p in (params, ablated))
        change = (full.irradiance - less.irradiance).abs() / full.irradiance.mean()
        if float(change.amax()) > visible:
            break
    else:
        pytest.fail(f"{name} changes nothing in 12 draws")
    for fixed in ("landmarks", "box"):
        assert torch.equal(getattr(full, fixed), getattr(less, fixed))
    if name == "lattice":
        assert float(less.facts["moire_contrast"]) == 0 < float(full.facts["moire_contrast"])
    if name == "flicker":
        assert float(less.facts["band_contrast"]) == 0 < float(full.facts["band_contrast"])
    if name == "black_level":
        assert float(less.facts["contrast_ratio"]) > float(full.facts["contrast_ratio"])


def test_an_effect_that_replays_do_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="dot_gain"):
        ReplayTV(ablate=["dot_gain"])


def test_rows_of_a_batch_may_differ_in_what_is_off() -> None:
    attack = ReplayTablet(BANK)
    bits = torch.tensor([0, 1 << EFFECTS.index("bezel"), (1 << len(EFFECTS)) - 1])
    params = with_fields(attack.sample(3, generator(4, "rows")), ablated=bits)
    together = attack.render(face(3), view(3), params)
    for row in range(3):
        alone = attack.render(face(), view(), params.row(row))
        torch.testing.assert_close(together.irradiance[row : row + 1], alone.irradiance, atol=2e-4, rtol=0)
        torch.testing.assert_close(together.mask[row : row + 1], alone.mask, atol=1e-5, rtol=0)


def everything_off(attack: Replay, keep: tuple[str, ...] = (), panel: str | None = None, seed: int = 5) -> ReplayParams:
    off = sum(1 << place for place, name in enumerate(EFFECTS) if name not in keep)
    params = attack.sample(1, generator(seed, "off"))
    plain = {"metering": torch.zeros(1), "contrast": torch.zeros(1), "balance": torch.ones(1, 3),
             "saturation": torch.ones(1)}  # fmt: skip
    camera = type(params.camera)(**{**params.camera.__dict__, **plain})
    fields = {"ablated": torch.tensor([off]), "camera": camera, "zoom": torch.ones(1), "share": torch.tensor([0.6])}
    if panel is not None:
        fields["panel"] = torch.tensor([[p.id for p in attack.bank.panels].index(panel)])
    return with_fields(params, **fields)  # type: ignore[arg-type]  # camera is no tensor


def middle(out: Rendered) -> Tensor:
    return out.irradiance[0, :, SIZE // 2 - 6 : SIZE // 2 + 6, SIZE // 2 - 6 : SIZE // 2 + 6]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.species)
def test_with_everything_off_the_picture_is_the_photograph(kind: type[Replay]) -> None:
    attack = kind(BANK)
    for seed in range(3):
        params = everything_off(attack, seed=seed)
        white, black = (middle(attack.render(face(level=level), view(), params)) for level in (1.0, 0.0))
        torch.testing.assert_close(white, torch.ones_like(white), atol=1e-3, rtol=0)
        assert float(black.abs().max()) < 1e-6


@pytest.mark.parametrize(
    ("name", "panel"),
    [("black_level", "monitor_lcd_92"), ("haze", "monitor_lcd_92"), ("reflection", "laptop_lcd_141"),
     ("colour", "tv_lcd_70"), ("view_angle", "monitor_lcd_94_bgr"), ("flicker", "tv_lcd_104_ips"),
     ("lattice", "tv_lcd_70"), ("smears", "laptop_lcd_141")],
)  # fmt: skip
def test_an_effect_alone_does_what_it_should(name: str, panel: str) -> None:
    attack: Replay = ReplayTV(BANK) if panel.startswith("tv") else ReplayMonitor(BANK)
    params = everything_off(attack, keep=(name,), panel=panel)
    if name == "lattice":
        params = with_fields(params, share=torch.tensor([10.0]), nearest_mm=torch.tensor([200.0]))
    if name == "view_angle":
        params = with_fields(params, yaw_deg=torch.tensor([20.0]), pitch_deg=torch.tensor([12.0]))
    params = with_fields(params, smear=torch.ones(1))
    out = {level: attack.render(face(level=level), view(), params) for level in (1.0, 0.2140, 0.0)}
    white, grey, black = (middle(o) for o in out.values())
    model = PANELS[panel]
    unit = params.lux / torch.pi / model.light.white_nits / params.brightness
    if name == "black_level":
        torch.testing.assert_close(black, torch.full_like(black, 1 / model.light.contrast), atol=1e-6, rtol=0)
    elif name == "haze":
        ambient = params.scene.ambient_rgb[0]
        low = float(unit * model.glass.haze * ambient.min())
        assert low * 0.99 < float(black.min())
        torch.testing.assert_close(white - black, torch.ones_like(white), atol=1e-3, rtol=0)
    elif name in ("reflection", "smears"):
        assert float(black.amax()) > 0
        torch.testing.assert_close(white - black, torch.ones_like(white), atol=1e-3, rtol=0)
    elif name == "colour":
        assert float(white[2].mean() / white[0].mean()) > 1.2  # a bluish white
        tint = white.mean((1, 2))
        torch.testing.assert_close(
            grey.mean((1, 2)) / tint, torch.full((3,), 0.5**model.light.gamma), atol=0.01, rtol=0
        )
    elif name == "view_angle":
        assert float(white.mean()) < 0.95
        assert float((grey / white).mean()) > 0.5**model.light.gamma * 1.05  # lifted
        assert float(black.mean()) > 1e-6
    elif name == "flicker":
        rows = white[0].mean(1)
        assert float(rows.max() / rows.min()) > 1.2
        assert float(white.std(2).max()) < 1e-4  # the same along a row
    else:
        assert float(out[1.0].facts["moire_contrast"]) > 0.01
        assert float(white.std()) > 0.003


def test_without_a_bezel_only_the_lit_area_stands_in_the_room() -> None:
    attack = ReplayTablet(BANK)
    params = attack.sample(1, generator(9, "bezel"))
    zero = torch.zeros(1)
    params = with_fields(params, share=torch.tensor([0.12]), farthest_mm=torch.tensor([800.0]), zoom=torch.ones(1),
                         yaw_deg=zero, pitch_deg=zero, roll_deg=zero, aim=torch.zeros(1, 2))  # fmt: skip
    off = 1 << EFFECTS.index("hand")
    areas = []
    for bits in (off, off | 1 << EFFECTS.index("bezel")):
        out = attack.render(face(), view(), with_fields(params, ablated=torch.tensor([bits])))
        areas.append(float(out.mask.sum()))
    panel = panel_figures([attack.bank.panels[int(params.panel)]])
    assert areas[1] / areas[0] == pytest.approx(float(panel.active.prod() / panel.body.prod()), rel=0.05)


def test_without_a_codec_the_photograph_is_only_quantised() -> None:
    attack = ReplayPhone(BANK, ablate=["content_codec"])
    params = attack.sample(6, generator(2, "codec"))
    panel = panel_figures(attack.bank.panels).take(params.panel)
    _, plain = neutralised(panel, params)
    codes = first_photograph(face(6), plain.camera).float()
    whole = {"subsampling": torch.zeros(6, dtype=torch.int64)}
    fine = first_photograph(
        face(6), type(plain.camera)(**{**plain.camera.__dict__, "quality": torch.full((6,), 100), **whole})
    )
    assert float((codes - fine.float()).abs().max()) <= 3
    rough = first_photograph(face(6), params.camera).float()
    assert float((codes - rough).abs().amax((1, 2, 3)).min()) > 3


def test_white_emitters_that_stay_dark_leave_their_work_to_the_colours() -> None:
    attack = ReplayTV(BANK)
    full = everything_off(attack, keep=("white_extraction",), panel="tv_woled_81")
    bright = with_fields(full, brightness=torch.ones(1))
    dark = with_fields(bright, ablated=torch.tensor([(1 << len(EFFECTS)) - 1]))
    red = face(level=0.0)
    red.radiance[:, 0] = 1.0
    with_white, without = (middle(attack.render(red, view(), p))[0].mean() for p in (bright, dark))
    share = PANELS["tv_woled_81"].white
    assert share is not None
    white_red = panel_figures([PANELS["tv_woled_81"]]).white_rgb[0, 0]
    # With `colour` off the white emitter's light is (1, 1, 1) in the panel's colours.
    assert float(without) == pytest.approx(1, abs=0.01)
    assert float(with_white) == pytest.approx(1 - share.share, abs=0.01)
    assert float(white_red) != pytest.approx(1, abs=0.01)
    assert bool(switched_off(dark.ablated, "white_extraction"))
