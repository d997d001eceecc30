"""Draw people: geometry, visibility, shading and the geometry maps of `Face`."""

import torch
from torch import Tensor

from spooflab.generators.face import Face
from spooflab.generators.faces.procedural import hair, raster
from spooflab.generators.faces.procedural.background import background
from spooflab.generators.faces.procedural.landmarks import landmark_points
from spooflab.generators.faces.procedural.layers import buried, face_hair, head_hair, lenses, splat_hair
from spooflab.generators.faces.procedural.light import lighting, shadow_map
from spooflab.generators.faces.procedural.model import HeadModel, head_model
from spooflab.generators.faces.procedural.params import IdentityParams, NuisanceParams
from spooflab.generators.faces.procedural.resolve import Maps, resolve
from spooflab.generators.faces.procedural.samples import sample
from spooflab.generators.faces.procedural.scene import Scene, build_scene
from spooflab.generators.faces.procedural.shading import exposure, shade
from spooflab.generators.faces.procedural.shape import Camera, build_head, camera, rotation
from spooflab.generators.faces.procedural.strands import turned_strands


def render(identity: IdentityParams, nuisance: NuisanceParams, size: int) -> Face:
    """Draw a batch of people.

    The rows are drawn one after the other: on a CPU that keeps each face's working set inside the cache, and it makes
    every row the same to the bit in any batch.

    Args:
        identity: who; batch of B.
        nuisance: the session; batch of B.
        size: side of the square image, at least 32 pixels.

    Returns:
        Faces whose `subject_id` and `source_id` are their row numbers.
    """
    if size < 32:
        raise ValueError(f"size is {size}: wanted at least 32 pixels")
    if identity.batch_size != nuisance.batch_size:
        raise ValueError(f"{identity.batch_size} identities for {nuisance.batch_size} sessions: wanted as many of each")
    rows = [_render_one(identity.row(i), nuisance.row(i), size) for i in range(identity.batch_size)]
    names = tuple(str(i) for i in range(len(rows)))
    return Face.stack(rows).replace(subject_id=names, source_id=names)


def _render_one(identity: IdentityParams, nuisance: NuisanceParams, size: int) -> Face:
    model = head_model()
    head = build_head(model, identity, nuisance.expression)
    turn = rotation(float(nuisance.yaw_deg[0]), float(nuisance.pitch_deg[0]), float(nuisance.roll_deg[0]))
    body = rotation(float(nuisance.body_yaw_deg[0]), 0.0, 0.0)
    view = camera(head, nuisance, turn, size)
    light = lighting(nuisance)
    scene = build_scene(model, head, identity, nuisance, turn, body)
    locks = hair.grow(model, head, identity, nuisance, turn, min(hair.ROOTS, 15 * size))
    locks = None if locks is None else turned_strands(locks, turn)
    casters = torch.empty(0, 3) if locks is None else locks.points[:, ::2].reshape(-1, 3)
    shadows = shadow_map(light.lamps[0], scene.points, scene.triangles, casters)

    fine = view.scaled(2)
    pixel, depth = fine.project(scene.points)
    setup = raster.prepare(pixel, 1 / depth, scene.triangles, (fine.size, fine.size))
    keys = raster.fill(setup, (fine.size, fine.size))
    layer = None if locks is None else splat_hair(locks, keys, view)
    if layer is not None:
        keys = torch.where(buried(layer, size), raster.EMPTY, keys)
    samples, near = sample(scene, setup, keys, view)
    lit = shadows.lit(samples.world, samples.normal, light.lamps[0].softness)
    shaded = shade(samples, lit, scene, light, identity, nuisance, view)
    level = exposure(samples, shaded, nuisance)

    sky = (light.sky + light.ground) / 2
    kind, place = int(nuisance.background_kind[0]), int(nuisance.background_seed[0])
    behind = background(kind, place, float(nuisance.background_level[0]), sky, size)
    image, cover = resolve(samples, shaded, size, view)
    image = image * level
    maps = Maps.start(samples, shaded, cover, size)
    image = face_hair(image, head, identity, turn, light, shadows, view, near, maps, level)
    image = lenses(image, scene, view, light, level)
    flat = behind.reshape(3, -1).T
    image = image + (1 - cover)[:, None] * flat
    if locks is not None and layer is not None:
        image = head_hair(image, locks, layer, light, shadows, view, maps, level)
    points = _landmarks(scene, model, view)
    return maps.face(image, points, view)


def _landmarks(scene: Scene, model: HeadModel, view: Camera) -> Tensor:
    count = len(model.rest)
    pixels, _ = view.project(scene.points[:count])
    return landmark_points(pixels)
