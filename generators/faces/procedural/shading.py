"""Light that leaves skin, mouth, clothes and frames."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.face import PARSING
from spooflab.generators.faces.procedural import clothes, eyes, facehair, hair, skin
from spooflab.generators.faces.procedural.light import (
    Lighting,
    ambient,
    ambient_planes,
    fifth_power,
    highlight,
    highlights,
)
from spooflab.generators.faces.procedural.modes import EXPRESSIONS
from spooflab.generators.faces.procedural.params import HAIR_STYLES, IdentityParams, NuisanceParams
from spooflab.generators.faces.procedural.samples import Samples
from spooflab.generators.faces.procedural.scene import EYE_LEFT, EYE_RIGHT, FRAME, SKIN, TEETH, Scene
from spooflab.generators.faces.procedural.shape import Camera
from spooflab.generators.faces.procedural.vectors import dot, dot_planes, unit

CLASS = {name: index for index, name in enumerate(PARSING)}
"""Value of each parsing class by name."""
_RIM_MM = 0.6


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
    out = Shaded(albedo, diffuse, gloss, torch.zeros(count), torch.zeros(count, dtype=torch.int64))
    for part in (SKIN, TEETH, EYE_LEFT, FRAME):
        here = (samples.part == EYE_LEFT) | (samples.part == EYE_RIGHT) if part == EYE_LEFT else samples.part == part
        index = here.nonzero()[:, 0]
        if len(index) == 0:
            continue
        if part == SKIN:
            index, bare, worn = _by_cover(samples, index, int(nuisance.clothes_style[0]))
            body = _Body.take(samples, lit, index, bare, worn)
            values = _shade_body(body, light, identity, nuisance, view)
        else:
            some, seen = samples.where(index), lit[index]
            toward = unit(torch.tensor([0.0, 0.0, view.distance_mm]) - some.world)
            values = _shade_object(part, some, toward, seen, scene, light, identity)
        for name, value in zip(("albedo", "diffuse", "gloss", "scatters", "label"), values, strict=True):
            whole = getattr(out, name)
            if isinstance(value, Tensor):
                whole.index_copy_(0, index, value)
            else:
                whole.index_fill_(0, index, value)
    return out


_Values = tuple[Tensor, Tensor, Tensor, Tensor | float, Tensor | int]


def _shade_object(
    part: int, s: Samples, view: Tensor, lit: Tensor, scene: Scene, light: Lighting, identity: IdentityParams
) -> _Values:
    """Return the light of samples of the eyeballs, of the teeth or of the glasses' frame."""
    if part == EYE_LEFT:
        colour = eyes.shade(s.world, view, lit, s.part - EYE_LEFT, scene.eyes, light, identity)
        return torch.ones_like(colour), colour, torch.zeros_like(colour), 0.0, CLASS["eyes"]
    if part == TEETH:
        return _shade_teeth(s, view, lit, light)
    return _shade_frame(s, view, lit, light, identity)


def _by_cover(samples: Samples, index: Tensor, style: int) -> tuple[Tensor, int, int]:
    """Order samples of the body: bare skin, cloth's rim, whole cloth; return how many lie before the two borders.

    What is ordered so is shaded by slices; the order within each part stays.
    """
    rest = samples.rest.index_select(0, index)
    low = (rest[:, 1] < clothes.HIGHEST_MM).nonzero()[:, 0]
    depth = clothes.below_neckline(rest.index_select(0, low), style)
    kind = torch.zeros(len(index), dtype=torch.uint8).index_copy_(
        0, low, (depth > -_RIM_MM).to(torch.uint8) + (depth >= _RIM_MM).to(torch.uint8)
    )
    parts = [(kind == k).nonzero()[:, 0] for k in range(3)]
    return index.index_select(0, torch.cat(parts)), len(parts[0]), len(parts[0]) + len(parts[1])


@dataclass(frozen=True)
class _Body:
    """Samples of the body as planes, because arithmetic on whole planes is faster than on rows of three.

    Attributes:
        world, normal, rest: (3, N).
        extra: (14, N).
        lit: (N,) share of the key lamp.
        bare, worn: the first `bare` samples have no cloth, those from `worn` on are all cloth.
    """

    world: Tensor
    normal: Tensor
    rest: Tensor
    extra: Tensor
    lit: Tensor
    bare: int
    worn: int

    @classmethod
    def take(cls, samples: Samples, lit: Tensor, index: Tensor, bare: int, worn: int) -> "_Body":
        rows = (samples.world, samples.normal, samples.rest, samples.extra)
        world, normal, rest, extra = (r.index_select(0, index).T.contiguous() for r in rows)
        return cls(world, normal, rest, extra, lit.index_select(0, index), bare, worn)


def _shade_body(
    s: _Body, light: Lighting, identity: IdentityParams, nuisance: NuisanceParams, camera_: Camera
) -> _Values:
    mm_per_px = camera_.distance_mm / camera_.focal_px
    smile = float(nuisance.expression[0, EXPRESSIONS.index("mouth-corner-puller")].clamp(0, 1))
    sky, count = s.extra[0], len(s.lit)
    surface = skin.surface(s.rest[:, : s.worn], s.extra[1:7, : s.worn], identity, smile, mm_per_px)
    cloth_depth = torch.full_like(sky, -100.0)
    cloth_depth[s.bare :] = clothes.below_neckline(s.rest[:, s.bare :].T, int(nuisance.clothes_style[0]))
    cloth = skin.step(cloth_depth, -_RIM_MM, _RIM_MM)
    scalp = _scalp(s, identity)
    covered = torch.maximum(cloth, scalp)
    lips, mouth = sky.new_zeros(2, count)
    lips[: s.worn], mouth[: s.worn] = surface.lips, surface.mouth
    rough = torch.full_like(sky, 0.5)
    rough[: s.worn] = surface.roughness
    rough += (0.9 - rough) * torch.maximum(cloth, scalp * 0.8)
    albedo, slope = _material(s, surface, cloth, scalp, mouth, identity, nuisance)
    normal = _tilted(s.normal, slope)
    view = s.world.neg()
    view[2] += camera_.distance_mm
    view *= torch.rsqrt(dot_planes(view, view))
    facing = dot_planes(normal, view)
    diffuse = ambient_planes(light, normal[1], normal[2]) * _bounce(sky, albedo)
    cosines = [lamp.direction @ normal for lamp in light.lamps]
    for k, lamp in enumerate(light.lamps):
        if float(lamp.colour.amax()) == 0:
            continue
        seen = s.lit if k == 0 else 0.35 + 0.65 * sky if k == 1 else sky
        fallen = _soft_lambert(cosines[k], lamp.direction @ s.normal, lamp.softness)
        diffuse.addcmul_(fallen.mul_(seen), lamp.colour[:, None])
    if float(mouth.amax()) > 0:
        diffuse *= 1 - 0.9 * mouth * skin.step(sky, 0.5, 0.1)
    key, _, rim = light.lamps
    dull = 1 - 0.85 * covered
    # The fill light is broad: its mirror image is part of the ambient reflection below.
    two = (rough, (rough * 0.62).clamp_(min=0.25))
    broad, narrow = highlights(cosines[0], facing, key.direction @ view, key.softness, two, 0.034)
    shine = (0.68 * broad).add_(narrow, alpha=0.42).mul_(s.lit).mul_(dull)
    twice = 2 * facing
    grazing = 0.028 + 0.5 * fifth_power(1 - facing.clamp(0, 1))
    mirror_y, mirror_z = (torch.addcmul(-view[k], twice, normal[k]) for k in (1, 2))
    gloss = ambient_planes(light, mirror_y, mirror_z).mul_(grazing.mul_(sky * sky).mul_(dull).mul_(0.75))
    gloss.addcmul_(shine, key.colour[:, None])
    if float(rim.colour.amax()) > 0.05:
        (edge,) = highlights(cosines[2], facing, rim.direction @ view, rim.softness, (rough,), 0.034)
        gloss.addcmul_(edge.mul_(sky).mul_(dull), rim.colour[:, None])
    label = _body_label(s, lips, mouth, cloth_depth, scalp)
    return albedo.T, diffuse.T, gloss.T, 1 - covered, label


def _material(
    s: _Body,
    surface: skin.Skin,
    cloth: Tensor,
    scalp: Tensor,
    mouth: Tensor,
    identity: IdentityParams,
    nuisance: NuisanceParams,
) -> tuple[Tensor, Tensor]:
    """Return (3, N) albedo and (2, N) slopes of skin, hair roots and cloth together."""
    count, some = len(s.lit), slice(0, s.worn)
    albedo, slope = torch.empty(3, count), torch.empty(2, count)
    albedo[:, some], slope[:, some] = surface.albedo, surface.slope
    hair_colour = hair.colour(identity, torch.arange(64)).mean(0)[:, None]
    bare = albedo[:, some]
    if float(scalp.amax()) > 0:
        bare.lerp_(hair_colour * 0.75, scalp[some])
    if float(identity.masculinity[0]) >= 0.5:
        stubble = facehair.stubble(s.extra[11:, some], identity, surface.slope[0] * 8)
        bare.lerp_(hair_colour * 0.6 + 0.012, stubble.clamp_(0, 0.8))
    if float(mouth.amax()) > 0:
        bare.lerp_(torch.tensor([0.30, 0.06, 0.05])[:, None], mouth[some])
    if s.bare < count:
        dyed, relief = clothes.dye(s.rest[:, s.bare :].T, nuisance)
        rim = s.worn - s.bare
        share = cloth[s.bare : s.worn]
        for whole, worn in ((albedo, dyed.T), (slope, relief.T)):
            whole[:, s.bare : s.worn].lerp_(worn[:, :rim], share.expand(len(whole), -1))
            whole[:, s.worn :] = worn[:, rim:]
    return albedo, slope


def _bounce(sky: Tensor, albedo: Tensor) -> Tensor:
    """Return (3, N) ambient visibility with the light that skin passes on to itself (Jimenez et al. 2016).

    Their cubic in the visibility has coefficients linear in the albedo; sorted here by the albedo's powers.
    """
    constant = ((sky * -0.3324 + 0.6417) * sky + 0.6903) * sky
    linear = ((sky * 2.0404 - 4.7951) * sky + 2.7552) * sky
    return torch.maximum(torch.addcmul(constant, linear, albedo), sky)


def _soft_lambert(cosine: Tensor, smooth: Tensor, softness: float) -> Tensor:
    """Return (3, N) irradiance of a lamp: red light travels further inside skin and softens the terminator.

    Source: the idea of pre-integrated skin shading (Penner 2011) with a per-channel wrap instead of its table, and
    blurred normals per channel (Ma et al. 2007).
    """
    wrap = torch.tensor([[0.22], [0.09], [0.05]]) + 0.12 * softness
    mix = torch.tensor([[0.75], [0.35], [0.15]])
    value = torch.addcmul(wrap / (1 + wrap), cosine, (1 - mix) / (1 + wrap))
    value.addcmul_(smooth, mix / (1 + wrap)).clamp_(min=0)
    # Close to value ** (1 + wrap), which conserves energy, and much faster.
    return torch.addcmul(1 - wrap, wrap, value).mul_(value)


def _tilted(normal: Tensor, slope: Tensor) -> Tensor:
    """Return (3, N) normals tilted by (2, N) slopes along up × normal and normal × that, written out by components."""
    x, y, z = normal
    across, rise = slope
    scale = torch.rsqrt(torch.addcmul(x * x, z, z).clamp_(min=1e-20))
    along_x, along_z = z * scale, -x * scale
    out = torch.empty_like(normal)
    climb = rise * y
    torch.sub(x, (across * along_x).addcmul_(climb, along_z), out=out[0])
    torch.sub(y, rise * (z * along_x - x * along_z), out=out[1])
    torch.sub(z, (across * along_z).addcmul_(climb, along_x, value=-1), out=out[2])
    return out.mul_(torch.rsqrt(dot_planes(out, out)))


def _scalp(s: _Body, identity: IdentityParams) -> Tensor:
    """Return (N,) how much the scalp reads as hair."""
    paint = hair.STYLES[HAIR_STYLES[int(identity.hair_style[0])]].paint
    depth = hair.scalp_mix(s.extra[7:10].T, float(identity.hairline[0]), float(identity.masculinity[0]))
    x, y, z = s.rest
    ear = (x.abs() > 70) & (y < 10) & (z > -95)
    return torch.where(ear, torch.zeros(()), paint * skin.step(depth, -1.0, 7.0))


def _body_label(s: _Body, lips: Tensor, mouth: Tensor, cloth_depth: Tensor, scalp: Tensor) -> Tensor:
    x, y, z = s.rest[0].abs(), s.rest[1], s.rest[2]
    label = torch.where(s.extra[10] < 0, CLASS["neck"], CLASS["skin"])
    middle = ((y < 2) & (y > -47.5) & (x < 18.5) & (z > 8)).nonzero()[:, 0]
    wide = hair.interpolate(y.index_select(0, middle), (-46.0, -36.0, -20.0, 2.0), (15.0, 18.5, 12.5, 8.0))
    label.index_fill_(0, middle[x.index_select(0, middle) < wide], CLASS["nose"])
    ear = (x > 69.5) & (y < 8) & (y > -50) & (z < -52)
    label.masked_fill_(ear, CLASS["ears"])
    label.masked_fill_(lips > 0.5, CLASS["lips"])
    label.masked_fill_(mouth > 0.5, CLASS["mouth"])
    label.masked_fill_(scalp > 0.5, CLASS["hair"])
    return label.masked_fill_(cloth_depth > 0, CLASS["clothes"])


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
    index = face.nonzero()[:, 0]
    albedo = shaded.albedo.index_select(0, index)
    radiance = (albedo * shaded.diffuse.index_select(0, index)).mean()
    reflect = albedo.mean()
    target = float(nuisance.exposure[0]) * (float(reflect) / 0.45) ** 0.7
    return float(target / max(float(radiance), 1e-4))
