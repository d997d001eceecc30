"""What makes a rendered person (`IdentityParams`) and what makes one session with that person (`NuisanceParams`)."""

from dataclasses import dataclass

from torch import Tensor

from spooflab.params import Params

HAIR_STYLES = (
    "bald",
    "buzz",
    "crop",
    "side_part",
    "slick_back",
    "fringe",
    "bob",
    "long_straight",
    "long_wavy",
    "curly",
    "afro",
    "tied_back",
)
"""Names of `IdentityParams.hair_style`, by value."""

BEARDS = ("none", "stubble", "moustache", "goatee", "full")
"""Names of `IdentityParams.beard_style`, by value."""

GLASSES = ("none", "round", "rectangular", "thin")
"""Names of `IdentityParams.glasses_style`, by value."""

CLOTHES = ("crew_neck", "v_neck", "turtleneck", "shirt")
"""Names of `NuisanceParams.clothes_style`, by value."""

BACKGROUNDS = ("wall", "room", "window", "office", "foliage", "street")
"""Names of `NuisanceParams.background_kind`, by value."""


@dataclass(frozen=True)
class IdentityParams(Params):
    """A person. Lengths in millimetres, fractions in [0, 1], details in the model's own signed weights.

    Attributes:
        ancestry: (B, 3) mixture of head-shape families, sums to 1; independent of skin only in part.
        masculinity: (B,) 0 female … 1 male shape.
        age_years: (B,) 18 … 80.
        weight: (B,) −1 lean … 1 heavy.
        details: (B, len(modes.PAIRS)) signed weights of the details.
        forms: (B, len(modes.FORMS)) weights of face outlines.
        asymmetry_mm: (B, 4) amplitudes of smooth left–right differences.
        melanin: (B,) volume fraction of melanosomes in the epidermis, 0.01 … 0.45.
        blood: (B,) volume fraction of blood in the dermis, 0.01 … 0.08.
        skin_seed: (B,) int64 seed of the skin's patterns.
        freckles, redness, wrinkles, oiliness, pores: (B,) strengths in [0, 1].
        moles: (B,) int64 number of moles.
        iris_melanin: (B,) 0 blue … 1 dark brown.
        iris_green: (B,) 0 … 1 shift of light irises towards green.
        iris_mm: (B,) iris radius.
        brow_density, brow_thickness, brow_arch: (B,) about 1, 1 and 0.
        lip_colour: (B,) 0 pale … 1 deep.
        eumelanin, pheomelanin: (B,) hair pigment concentrations (d'Eon et al. 2011 units).
        grey: (B,) fraction of grey hair.
        hair_style: (B,) int64 into `HAIR_STYLES`.
        hair_length: (B,) multiplier about 1.
        hair_volume: (B,) multiplier about 1.
        hair_wave: (B,) 0 … 1.
        hair_part: (B,) −1 … 1, side of the parting.
        hairline: (B,) 0 low … 1 receded.
        hair_seed: (B,) int64 seed of strands.
        beard_style: (B,) int64 into `BEARDS`.
        beard_length_mm: (B,).
        glasses_style: (B,) int64 into `GLASSES`.
        glasses_colour: (B, 3) linear RGB of the frame.
    """

    ancestry: Tensor
    masculinity: Tensor
    age_years: Tensor
    weight: Tensor
    details: Tensor
    forms: Tensor
    asymmetry_mm: Tensor
    melanin: Tensor
    blood: Tensor
    skin_seed: Tensor
    freckles: Tensor
    redness: Tensor
    wrinkles: Tensor
    oiliness: Tensor
    pores: Tensor
    moles: Tensor
    iris_melanin: Tensor
    iris_green: Tensor
    iris_mm: Tensor
    brow_density: Tensor
    brow_thickness: Tensor
    brow_arch: Tensor
    lip_colour: Tensor
    eumelanin: Tensor
    pheomelanin: Tensor
    grey: Tensor
    hair_style: Tensor
    hair_length: Tensor
    hair_volume: Tensor
    hair_wave: Tensor
    hair_part: Tensor
    hairline: Tensor
    hair_seed: Tensor
    beard_style: Tensor
    beard_length_mm: Tensor
    glasses_style: Tensor
    glasses_colour: Tensor


@dataclass(frozen=True)
class NuisanceParams(Params):
    """One session. Angles in degrees, world axes x right, y up, z towards the camera.

    Attributes:
        yaw_deg, pitch_deg, roll_deg: (B,) head pose; positive yaw turns to the image's right, positive pitch looks up.
        body_yaw_deg: (B,) turn of the shoulders.
        expression: (B, len(modes.EXPRESSIONS)) weights of the expression units.
        gaze_yaw_deg, gaze_pitch_deg: (B,) eyes relative to the head's front.
        distance_mm: (B,) camera to the point between the eyes.
        share: (B,) width of the face as a share of the frame's width.
        offset: (B, 2) shift of the face in shares of the frame, right and down.
        key_direction, fill_direction, rim_direction: (B, 3) unit vectors towards the lights.
        key_kelvin, fill_kelvin, ambient_kelvin: (B,) correlated colour temperatures.
        white_kelvin: (B,) colour temperature that renders as neutral.
        key_level, fill_level, rim_level, ambient_level: (B,) relative irradiances.
        key_softness: (B,) 0 a point … 1 a large soft box.
        exposure: (B,) radiance that light mean skin takes, before the darkening that dark skin keeps.
        background_kind: (B,) int64 into `BACKGROUNDS`.
        background_seed: (B,) int64.
        background_level: (B,) brightness of the background relative to the face's light.
        clothes_style: (B,) int64 into `CLOTHES`.
        clothes_colour: (B, 3) linear albedo.
        clothes_pattern: (B,) int64: 0 plain, 1 stripes, 2 heather, 3 checks.
        clothes_seed: (B,) int64.
        hair_mess: (B,) int64 seed of how the hair fell today.
    """

    yaw_deg: Tensor
    pitch_deg: Tensor
    roll_deg: Tensor
    body_yaw_deg: Tensor
    expression: Tensor
    gaze_yaw_deg: Tensor
    gaze_pitch_deg: Tensor
    distance_mm: Tensor
    share: Tensor
    offset: Tensor
    key_direction: Tensor
    fill_direction: Tensor
    rim_direction: Tensor
    key_kelvin: Tensor
    fill_kelvin: Tensor
    ambient_kelvin: Tensor
    white_kelvin: Tensor
    key_level: Tensor
    fill_level: Tensor
    rim_level: Tensor
    ambient_level: Tensor
    key_softness: Tensor
    exposure: Tensor
    background_kind: Tensor
    background_seed: Tensor
    background_level: Tensor
    clothes_style: Tensor
    clothes_colour: Tensor
    clothes_pattern: Tensor
    clothes_seed: Tensor
    hair_mess: Tensor
