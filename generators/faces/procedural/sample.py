"""Draw people and sessions."""

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.modes import EXPRESSIONS, FORMS, PAIRS
from spooflab.generators.faces.procedural.params import BACKGROUNDS, CLOTHES, IdentityParams, NuisanceParams
from spooflab.params import choice, log_uniform, uniform

_FEMALE_HAIR = (0.0, 0.01, 0.04, 0.06, 0.03, 0.13, 0.16, 0.19, 0.17, 0.09, 0.04, 0.08)
_MALE_HAIR = (0.11, 0.16, 0.24, 0.19, 0.13, 0.05, 0.01, 0.02, 0.02, 0.04, 0.03, 0.0)
_BEARD = (0.42, 0.24, 0.07, 0.12, 0.15)


def sample_identity(batch: int, generator: torch.Generator) -> IdentityParams:
    """Draw `batch` people: both sexes, 18 to 80 years, all ancestries and skin tones."""

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    ancestry = torch.softmax(normal(batch, 3) * 2.2, 1)
    male = torch.rand(batch, generator=generator) < 0.5
    masculinity = (male.float() + normal(batch) * 0.14).abs().clamp(0, 1)
    masculinity = torch.where(male, (1 - (1 - masculinity).abs()).clamp(0.55, 1), masculinity.clamp(0, 0.3))
    age = 18 + 62 * torch.rand(batch, generator=generator) ** 1.8
    spread = torch.tensor([sd for _, _, sd in PAIRS.values()])
    tone = ancestry @ torch.tensor([0.97, 0.42, 0.17]) + 0.09 * normal(batch)
    melanin = torch.exp(torch.lerp(torch.tensor(0.015).log(), torch.tensor(0.45).log(), tone.clamp(0, 1)))
    dark = tone.clamp(0, 1)
    return IdentityParams(
        ancestry=ancestry,
        masculinity=masculinity,
        age_years=age,
        weight=(normal(batch) * 0.4 - 0.15 + (age - 30) * 0.005).clamp(-1, 1),
        details=(normal(batch, len(PAIRS)) * 0.75).clamp(-2, 2) * spread + _typical(),
        forms=torch.rand(batch, len(FORMS), generator=generator) ** 6 * 0.35,
        asymmetry_mm=normal(batch, 4) * 0.3,
        melanin=melanin,
        blood=uniform(batch, 0.032, 0.072, generator),
        skin_seed=_seeds(batch, generator),
        freckles=(torch.rand(batch, generator=generator) ** 4) * (1 - dark).clamp(0.0, 1),
        redness=uniform(batch, 0.25, 1, generator),
        wrinkles=((age - 28) / 45 + 0.12 * normal(batch)).clamp(0.0, 1),
        oiliness=uniform(batch, 0.1, 0.9, generator),
        pores=uniform(batch, 0.3, 1, generator),
        moles=choice(batch, 9, generator),
        iris_melanin=torch.where(dark > 0.36, uniform(batch, 0.75, 1, generator), uniform(batch, 0, 1, generator)),
        iris_green=uniform(batch, 0, 1, generator),
        iris_mm=uniform(batch, 5.6, 6.1, generator),
        brow_density=uniform(batch, 0.65, 1.2, generator) * torch.where(male, 1.1, 0.9),
        brow_thickness=uniform(batch, 0.8, 1.25, generator) * torch.where(male, 1.1, 0.8),
        brow_arch=normal(batch).clamp(-2, 2) * 0.5 + torch.where(male, -0.3, 0.5),
        lip_colour=(uniform(batch, 0.15, 0.75, generator) + torch.where(male, 0.0, 0.35)).clamp(0, 1),
        grey=torch.sigmoid((age - 56 + 7 * normal(batch)) / 5) * uniform(batch, 0.5, 1, generator),
        **_hair_colour(batch, dark, generator),
        **_hair(batch, male, age, ancestry, generator),
        beard_style=torch.where(male, _weighted(batch, torch.tensor(_BEARD), generator), 0),
        beard_length_mm=log_uniform(batch, 2.5, 14, generator),
        glasses_style=torch.where(
            torch.rand(batch, generator=generator) < 0.24, 1 + choice(batch, 3, generator), torch.zeros(batch).long()
        ),
        glasses_colour=_frame_colour(batch, generator),
    )


def sample_nuisance(batch: int, generator: torch.Generator) -> NuisanceParams:
    """Draw `batch` sessions: pose, expression, camera, light, background and clothes."""

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    outdoor = torch.rand(batch, generator=generator) < 0.33
    kind = torch.where(outdoor, 4 + choice(batch, 2, generator), choice(batch, len(BACKGROUNDS) - 2, generator))
    ambient = torch.where(outdoor, uniform(batch, 6000, 8500, generator), uniform(batch, 3000, 6500, generator))
    key = torch.where(outdoor, uniform(batch, 4800, 6200, generator), uniform(batch, 2900, 6200, generator))
    side = torch.where(torch.rand(batch, generator=generator) < 0.5, -1.0, 1.0)
    yaw = (normal(batch) * 10).clamp(-30, 30)
    return NuisanceParams(
        yaw_deg=yaw,
        pitch_deg=(normal(batch) * 5).clamp(-14, 14),
        roll_deg=(normal(batch) * 4).clamp(-12, 12),
        body_yaw_deg=yaw * 0.4 + normal(batch) * 5,
        expression=_expression(batch, generator),
        gaze_yaw_deg=(-0.8 * yaw + normal(batch) * 3).clamp(-24, 24),
        gaze_pitch_deg=(normal(batch) * 2.5).clamp(-9, 7),
        distance_mm=log_uniform(batch, 360, 600, generator),
        share=uniform(batch, 0.5, 0.64, generator),
        offset=normal(batch, 2).clamp(-2, 2) * 0.015,
        key_direction=_direction(side * uniform(batch, 8, 65, generator), uniform(batch, 12, 58, generator)),
        fill_direction=_direction(-side * uniform(batch, 25, 80, generator), uniform(batch, -10, 35, generator)),
        rim_direction=_direction(-side * uniform(batch, 115, 160, generator), uniform(batch, 10, 45, generator)),
        key_kelvin=key,
        fill_kelvin=uniform(batch, 3800, 7200, generator),
        ambient_kelvin=ambient,
        white_kelvin=torch.lerp(key, ambient, uniform(batch, 0.4, 1.0, generator)) + normal(batch) * 150,
        key_level=uniform(batch, 0.6, 1.4, generator),
        fill_level=uniform(batch, 0.05, 0.4, generator),
        rim_level=uniform(batch, 0, 0.9, generator) ** 2,
        ambient_level=uniform(batch, 0.14, 0.4, generator),
        key_softness=uniform(batch, 0.1, 1, generator),
        exposure=uniform(batch, 0.28, 0.44, generator),
        background_kind=kind,
        background_seed=_seeds(batch, generator),
        background_level=log_uniform(batch, 0.35, 1.5, generator),
        clothes_style=choice(batch, len(CLOTHES), generator),
        clothes_colour=_cloth_colour(batch, generator),
        clothes_pattern=_weighted(batch, torch.tensor([0.55, 0.15, 0.2, 0.1]), generator),
        clothes_seed=_seeds(batch, generator),
        hair_mess=_seeds(batch, generator),
    )


def _typical() -> Tensor:
    """Return the mean of the details: eyes a little larger and further open than the base mesh has them."""
    mean = {"eye_scale": 0.25, "eye_height": 0.2, "head_width": -0.04, "brow_height": 0.1, "cheek_bones": 0.1}
    return torch.tensor([mean.get(name, 0.0) for name in PAIRS])


def _seeds(batch: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 1 << 62, (batch,), generator=generator)


def _weighted(batch: int, weights: Tensor, generator: torch.Generator) -> Tensor:
    return torch.multinomial(weights.expand(batch, -1), 1, generator=generator)[:, 0]


def _hair_colour(batch: int, dark: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    fair = torch.rand(batch, generator=generator)
    eumelanin = torch.where(dark > 0.34, 1.4 + 2.2 * fair, torch.exp(-2.0 + 3.0 * fair))
    red = torch.rand(batch, generator=generator) < 0.12
    pheomelanin = torch.where(red & (dark < 0.3), 1.0, 0.12) * uniform(batch, 0.5, 1.5, generator)
    return {"eumelanin": eumelanin, "pheomelanin": pheomelanin}


def _hair(batch: int, male: Tensor, age: Tensor, ancestry: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    weights = torch.where(male[:, None], torch.tensor(_MALE_HAIR), torch.tensor(_FEMALE_HAIR))
    coily = ancestry[:, :1]
    # Coily hair belongs to one family of hair forms, straight falls to the others: shift the odds, never to zero.
    curl = torch.tensor([1, 1, 1, 0.3, 0.4, 0.2, 0.25, 0.15, 0.3, 2.5, 7, 1.4])
    straight = torch.tensor([1, 1, 1, 1, 1, 1, 1, 1, 1, 0.6, 0.0, 1])
    weights = weights * torch.lerp(straight.expand(batch, -1), curl.expand(batch, -1), coily)
    bald = torch.where(male, ((age - 35) / 30).clamp(0, 1), torch.zeros(batch))
    return {
        "hair_style": _weighted_rows(weights, generator),
        "hair_length": uniform(batch, 0.75, 1.25, generator),
        "hair_volume": uniform(batch, 0.7, 1.3, generator),
        "hair_wave": torch.rand(batch, generator=generator) ** 1.5,
        "hair_part": uniform(batch, -1, 1, generator),
        "hairline": (uniform(batch, 0, 0.45, generator) + bald * uniform(batch, 0, 0.7, generator)).clamp(0, 1),
        "hair_seed": _seeds(batch, generator),
    }


def _weighted_rows(weights: Tensor, generator: torch.Generator) -> Tensor:
    return torch.multinomial(weights, 1, generator=generator)[:, 0]


def _frame_colour(batch: int, generator: torch.Generator) -> Tensor:
    bank = torch.tensor(
        [[0.012, 0.012, 0.013], [0.06, 0.025, 0.01], [0.25, 0.25, 0.27], [0.3, 0.2, 0.09], [0.02, 0.03, 0.08]]
    )
    return bank[choice(batch, len(bank), generator)]


def _cloth_colour(batch: int, generator: torch.Generator) -> Tensor:
    grey = torch.exp(uniform(batch, -3.3, -0.35, generator))[:, None].expand(-1, 3)
    hue = torch.rand(batch, 3, generator=generator) ** 2
    tint = hue / hue.amax(1, keepdim=True) * grey
    return torch.lerp(grey, tint, (torch.rand(batch, 1, generator=generator) * 1.3).clamp(0, 0.85))


def _direction(azimuth_deg: Tensor, elevation_deg: Tensor) -> Tensor:
    a, e = torch.deg2rad(azimuth_deg), torch.deg2rad(elevation_deg)
    return torch.stack([a.sin() * e.cos(), e.sin(), a.cos() * e.cos()], -1)


_MOODS: tuple[tuple[float, dict[str, float]], ...] = (
    (0.36, {}),
    (0.26, {"mouth-corner-puller": 0.45, "eye-*-slit": 0.12}),
    (0.14, {"mouth-corner-puller": 0.8, "mouth-part-later": 0.5, "mouth-upward-retraction": 0.25, "eye-*-slit": 0.35}),
    (0.07, {"mouth-open": 0.12, "eyebrows-*-up": 0.3}),
    (0.05, {"eyebrows-*-up": 0.8, "mouth-open": 0.25, "eye-*-opened-up": 0.5}),
    (0.05, {"eyebrows-*-down": 0.7, "mouth-compression": 0.4, "eye-*-slit": 0.3}),
    (0.04, {"mouth-depression": 0.5, "eyebrows-*-inner-up": 0.6}),
    (0.03, {"mouth-protusion": 0.4, "mouth-pursing": 0.3}),
)


def _expression(batch: int, generator: torch.Generator) -> Tensor:
    table = torch.zeros(len(_MOODS), len(EXPRESSIONS))
    for row, (_, weights) in enumerate(_MOODS):
        for name, weight in weights.items():
            table[row, EXPRESSIONS.index(name)] = weight
    mood = table[_weighted(batch, torch.tensor([w for w, _ in _MOODS]), generator)]
    strength = uniform(batch, 0.6, 1.15, generator)[:, None]
    small = torch.rand(batch, len(EXPRESSIONS), generator=generator) ** 3 * 0.1
    quiet = torch.tensor([0.0 if name.startswith(("mouth-open", "mouth-part")) else 1.0 for name in EXPRESSIONS])
    return mood * strength + small * quiet
