"""Light that leaves skin, mouth, clothes and frames."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.face import PARSING
from spooflab.generators.faces.procedural import clothes, eyes, facehair, hair, skin
from spooflab.generators.faces.procedural.light import Lighting, ambient, fifth_power, highlight, highlights
from spooflab.generators.faces.procedural.modes import EXPRESSIONS
from spooflab.generators.faces.procedural.params import HAIR_STYLES, IdentityParams, NuisanceParams
from spooflab.generators.faces.procedural.samples import Samples
from spooflab.generators.faces.procedural.scene import EYE_LEFT, EYE_RIGHT, SKIN, TEETH, Scene
from spooflab.generators.faces.procedural.shape import Camera
from spooflab.generators.faces.procedural.vectors import dot, unit

CLASS = {name: index for index, name in enumerate(PARSING)}
"""Value of each parsing class by name."""


@dataclass(frozen=True)
class Shaded:
    """Light leaving the samples.

    Attributes:
        albedo, diffuse: (N, 3): their product is the diffuse radiance; diffuse light of skin is blurred in between.
        gloss: (N, 3) radiance on top.
        scatters: (N,) 1 for skin.
        label: (N,) parsing class.
    """

    albedo: Tensor
    diffuse: Tensor
    gloss: Tensor
    scatters: Tensor
    label: Tensor


def shade(
    samples: Samples,
    lit: Tensor,
    scene: Scene,
    light: Lighting,
    identity: IdentityParams,
    nuisance: NuisanceParams,
    view: Camera,
) -> Shaded:
    """Return the light of all samples of a batch of one; `lit` is (N,), the share of the key lamp that each sees."""
    count = len(samples.pixel)
    albedo, diffuse, gloss = (torch.zeros(count, 3) for _ in range(3))
    out = Shaded(albedo, diffuse, gloss, torch.zeros(count), torch.zeros(count).long())
    eye = unit(torch.tensor([0.0, 0.0, view.distance_mm]) - samples.world)
    for part in range(5):
        index = (samples.part == part).nonzero()[:, 0]
        if len(index) == 0:
            continue
        some, toward, seen = samples.where(index), eye[index], lit[index]
        if part == SKIN:
            values = _shade_body(some, toward, seen, light, identity, nuisance, view)
        elif part in {EYE_LEFT, EYE_RIGHT}:
            colour = eyes.shade(some.world, toward, seen, scene.eyes[part - EYE_LEFT], light, identity)
            values = (torch.ones_like(colour), colour, torch.zeros_like(colour), 0.0, CLASS["eyes"])
        elif part == TEETH:
            values = _shade_teeth(some, toward, seen, light)
        else:
            values = _shade_frame(some, toward, seen, light, identity)
        for name, value in zip(("albedo", "diffuse", "gloss", "scatters", "label"), values, strict=True):
            getattr(out, name)[index] = value
    return out


_Values = tuple[Tensor, Tensor, Tensor, Tensor | float, Tensor | int]


def _shade_body(
    s: Samples,
    view: Tensor,
    lit: Tensor,
    light: Lighting,
    identity: IdentityParams,
    nuisance: NuisanceParams,
    camera_: Camera,
) -> _Values:
    mm_per_px = camera_.distance_mm / camera_.focal_px
    smile = nuisance.expression[0, EXPRESSIONS.index("mouth-corner-puller")].clamp(0, 1)
    sky = s.extra[:, 0]
    style = int(nuisance.clothes_style[0])
    low = (s.rest[:, 1] < clothes.HIGHEST_MM).nonzero()[:, 0]
    below = clothes.below_neckline(s.rest.index_select(0, low), style)
    cloth_depth = torch.full_like(sky, -100.0).index_copy_(0, low, below)
    cloth = skin.step(cloth_depth, -0.6, 0.6)
    surface = _bare(s, cloth < 1, identity, smile, mm_per_px)
    scalp = _scalp(s, identity)
    mouth = surface.mouth
    albedo, slope = surface.albedo, surface.slope
    hair_colour = hair.colour(identity, torch.arange(64)).mean(0)
    if float(scalp.amax()) > 0:
        albedo = torch.lerp(albedo, hair_colour * 0.75, scalp[:, None])
    if float(identity.masculinity[0]) >= 0.5:
        stubble = facehair.stubble(s.extra[:, 11:], identity, surface.slope[:, 0] * 8)
        albedo = torch.lerp(albedo, hair_colour * 0.6 + 0.012, stubble[:, None].clamp(0, 0.8))
    if float(mouth.amax()) > 0:
        albedo = torch.lerp(albedo, torch.tensor([0.30, 0.06, 0.05]).expand_as(albedo), mouth[:, None])
    worn = (cloth > 0).nonzero()[:, 0]
    dyed, cloth_slope = clothes.dye(s.rest[worn], nuisance)
    share = cloth[worn, None]
    albedo = albedo.index_copy(0, worn, torch.lerp(albedo[worn], dyed, share))
    slope = slope.index_copy(0, worn, torch.lerp(slope[worn], cloth_slope, share))
    normal = _tilted(s.normal, slope)
    diffuse = ambient(light, normal) * _bounce(sky, albedo)
    for k, lamp in enumerate(light.lamps):
        cosine = normal @ lamp.direction
        smooth = s.normal @ lamp.direction
        seen = lit if k == 0 else 0.35 + 0.65 * sky if k == 1 else sky
        diffuse = diffuse + _soft_lambert(cosine, smooth, lamp.softness) * seen[:, None] * lamp.colour
    diffuse = diffuse * (1 - 0.9 * mouth * skin.step(sky, 0.5, 0.1))[:, None]
    rough = torch.lerp(surface.roughness, torch.full_like(sky, 0.9), torch.maximum(cloth, scalp * 0.8))
    key, _, rim = light.lamps
    # The fill light is broad: its mirror image is part of the ambient reflection below.
    broad, narrow = highlights(normal, view, key, (rough, (rough * 0.62).clamp(min=0.25)), 0.034)
    shine = 0.68 * broad + 0.42 * narrow
    gloss = (shine * lit)[:, None] * key.colour
    if float(rim.colour.amax()) > 0.05:
        gloss = gloss + (highlight(normal, view, rim, rough, 0.034) * sky)[:, None] * rim.colour
    facing = dot(normal, view)
    grazing = 0.028 + 0.5 * fifth_power(1 - facing.clamp(0, 1))
    mirror = (2 * facing)[:, None] * normal - view
    gloss = gloss + ambient(light, mirror) * (grazing * sky * sky * 0.75)[:, None]
    gloss = gloss * (1 - 0.85 * torch.maximum(cloth, scalp))[:, None]
    label = _body_label(s, surface.lips, mouth, cloth_depth, scalp)
    return albedo, diffuse, gloss, 1 - torch.maximum(cloth, scalp), label


def _bare(s: Samples, bare: Tensor, identity: IdentityParams, smile: Tensor, mm_per_px: float) -> skin.Skin:
    """Return the skin of all samples, evaluated only where it is `bare`; elsewhere cloth replaces it."""
    index = bare.nonzero()[:, 0]
    some = skin.surface(
        s.rest.index_select(0, index), s.extra[:, 1:7].index_select(0, index), identity, smile, mm_per_px
    )

    def spread(values: Tensor) -> Tensor:
        return values.new_full((len(bare), *values.shape[1:]), 0.5).index_copy_(0, index, values)

    def patch(values: Tensor) -> Tensor:
        return values.new_zeros(len(bare)).index_copy_(0, index, values)

    return skin.Skin(
        spread(some.albedo), spread(some.slope), spread(some.roughness), patch(some.lips), patch(some.mouth)
    )


def _bounce(sky: Tensor, albedo: Tensor) -> Tensor:
    """Return (N, 3) ambient visibility with the light that skin passes on to itself (Jimenez et al. 2016)."""
    a = 2.0404 * albedo - 0.3324
    b = -4.7951 * albedo + 0.6417
    c = 2.7552 * albedo + 0.6903
    x = sky[:, None]
    return torch.maximum(x, ((x * a + b) * x + c) * x)


def _soft_lambert(cosine: Tensor, smooth: Tensor, softness: float) -> Tensor:
    """Return (N, 3) irradiance of a lamp: red light travels further inside skin and softens the terminator.

    Source: the idea of pre-integrated skin shading (Penner 2011) with a per-channel wrap instead of its table, and
    blurred normals per channel (Ma et al. 2007).
    """
    wrap = torch.tensor([0.22, 0.09, 0.05]) + 0.12 * softness
    mix = torch.tensor([0.75, 0.35, 0.15])
    value = torch.lerp(cosine[:, None].expand(-1, 3), smooth[:, None].expand(-1, 3), mix)
    value = ((value + wrap) / (1 + wrap)).clamp(min=0)
    # Close to value ** (1 + wrap), which conserves energy, and much faster.
    return value * (1 - wrap + wrap * value)


def _tilted(normal: Tensor, slope: Tensor) -> Tensor:
    """Return (N, 3) normals tilted by (N, 2) slopes along up × normal and normal × that, written out by components."""
    x, y, z = normal.T.contiguous()
    across, rise = slope.T.contiguous()
    scale = torch.rsqrt((x * x + z * z).clamp_(min=1e-20))
    along_x, along_z = z * scale, -x * scale
    flat_x, flat_y = x - across * along_x - rise * y * along_z, y - rise * (z * along_x - x * along_z)
    return unit(torch.stack([flat_x, flat_y, z - across * along_z + rise * y * along_x], 1))


def _scalp(s: Samples, identity: IdentityParams) -> Tensor:
    """Return (N,) how much the scalp reads as hair."""
    paint = hair.STYLES[HAIR_STYLES[int(identity.hair_style[0])]].paint
    depth = hair.scalp_mix(s.extra[:, 7:10], float(identity.hairline[0]), float(identity.masculinity[0]))
    x, y, z = s.rest.unbind(1)
    ear = (x.abs() > 70) & (y < 10) & (z > -95)
    return torch.where(ear, torch.zeros(()), paint * skin.step(depth, -1.0, 7.0))


def _body_label(s: Samples, lips: Tensor, mouth: Tensor, cloth_depth: Tensor, scalp: Tensor) -> Tensor:
    x, y, z = s.rest[:, 0].abs(), s.rest[:, 1], s.rest[:, 2]
    label = torch.where(s.extra[:, 10] < 0, CLASS["neck"], CLASS["skin"])
    wide = hair.interpolate(y, (-46.0, -36.0, -20.0, 2.0), (15.0, 18.5, 12.5, 8.0))
    label = torch.where((y < 2) & (y > -47.5) & (x < wide) & (z > 8), CLASS["nose"], label)
    ear = (x > 69.5) & (y < 8) & (y > -50) & (z < -52)
    label = torch.where(ear, CLASS["ears"], label)
    label = torch.where(lips > 0.5, CLASS["lips"], label)
    label = torch.where(mouth > 0.5, CLASS["mouth"], label)
    label = torch.where(scalp > 0.5, CLASS["hair"], label)
    return torch.where(cloth_depth > 0, CLASS["clothes"], label)


def _shade_teeth(s: Samples, view: Tensor, lit: Tensor, light: Lighting) -> _Values:
    base = torch.tensor([0.74, 0.68, 0.57]).expand_as(s.normal)
    # The mouth is a cave: the further back, the darker, whatever the shadow map sees through the lips.
    cave = (0.06 + 0.94 * skin.step(s.rest[:, 2], 4.0, 17.0))[:, None]
    diffuse = ambient(light, s.normal) * 0.5
    for lamp in light.lamps[:2]:
        facing = (s.normal @ lamp.direction).clamp(min=0) * (0.35 + 0.4 * lit)
        diffuse = diffuse + facing[:, None] * lamp.colour
    gloss = highlight(s.normal, view, light.lamps[0], torch.full_like(lit, 0.3), 0.04) * lit
    return base, diffuse * cave, gloss[:, None] * light.lamps[0].colour * cave * 0.5, 0.0, CLASS["mouth"]


def _shade_frame(s: Samples, view: Tensor, lit: Tensor, light: Lighting, identity: IdentityParams) -> _Values:
    colour = identity.glasses_colour[0]
    diffuse = ambient(light, s.normal)
    gloss = ambient(light, 2 * dot(s.normal, view)[:, None] * s.normal - view) * (0.05 + colour * 0.5)
    for k, lamp in enumerate(light.lamps):
        seen = lit if k == 0 else torch.ones_like(lit)
        diffuse = diffuse + ((s.normal @ lamp.direction).clamp(min=0) * seen)[:, None] * lamp.colour
        shine = highlight(s.normal, view, lamp, torch.full_like(lit, 0.35), 0.05) * seen
        gloss = gloss + shine[:, None] * lamp.colour
    return colour.expand_as(diffuse), diffuse, gloss, 0.0, CLASS["glasses"]


def exposure(samples: Samples, shaded: Shaded, nuisance: NuisanceParams) -> float:
    """Return the gain that exposes the skin; dark skin stays darker than light skin, as cameras leave it."""
    face = ((shaded.label == CLASS["skin"]) | (shaded.label == CLASS["nose"])) & (samples.weight == 1)
    radiance = (shaded.albedo * shaded.diffuse)[face].mean()
    reflect = shaded.albedo[face].mean()
    target = float(nuisance.exposure[0]) * (float(reflect) / 0.45) ** 0.7
    return float(target / max(float(radiance), 1e-4))
