"""From a person and a session to points: the head's mesh in millimetres, its pose, and the camera."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.mesh import vertex_normals
from spooflab.generators.faces.procedural.model import EYE_POINTS, HeadModel
from spooflab.generators.faces.procedural.modes import EXPRESSIONS, FORMS, PAIRS, RACES
from spooflab.generators.faces.procedural.params import IdentityParams, NuisanceParams

PIVOT_MM = (0.0, -75.0, -85.0)
"""Where the head turns on the neck."""


@dataclass(frozen=True)
class Head:
    """One person's head before it is turned.

    Attributes:
        points: (V, 3) fine mesh with expression.
        normals: (V, 3) unit normals.
        eye_centre: (2, 3) left and right eyeball centres.
        eye_radius: (2,) millimetres.
    """

    points: Tensor
    normals: Tensor
    eye_centre: Tensor
    eye_radius: Tensor


@dataclass(frozen=True)
class Camera:
    """A pinhole on the z axis that looks along −z in world axes (x right, y up).

    Attributes:
        distance_mm: position on the axis.
        focal_px: focal length in pixels.
        centre_px: (2,) principal point.
        size: side of the square image.
    """

    distance_mm: float
    focal_px: float
    centre_px: tuple[float, float]
    size: int

    def project(self, world: Tensor) -> tuple[Tensor, Tensor]:
        """Return (…, 2) pixels and (…) distance from the camera plane."""
        depth = self.distance_mm - world[..., 2]
        x = world[..., 0] / depth * self.focal_px + self.centre_px[0]
        y = self.centre_px[1] - world[..., 1] / depth * self.focal_px
        return torch.stack([x, y], -1), depth

    def scaled(self, factor: int) -> "Camera":
        """Return the same camera with `factor` times as many pixels."""
        centre = (self.centre_px[0] * factor, self.centre_px[1] * factor)
        return Camera(self.distance_mm, self.focal_px * factor, centre, self.size * factor)


def weights(identity: IdentityParams, expression: Tensor) -> dict[str, float]:
    """Return the weight of each direction of the model for a batch of one."""
    out: dict[str, float] = {}
    race = dict(zip(RACES, identity.ancestry[0].tolist(), strict=True))
    male = float(identity.masculinity[0])
    old = min(max((float(identity.age_years[0]) - 25) / 65, 0.0), 1.0)
    heavy = float(identity.weight[0])
    build = {"minweight": max(-heavy, 0.0), "averageweight": 1 - abs(heavy), "maxweight": max(heavy, 0.0)}
    for sex, sex_weight in (("female", 1 - male), ("male", male)):
        for age, age_weight in (("young", 1 - old), ("old", old)):
            for name, share in race.items():
                out[f"{name}-{sex}-{age}"] = share * sex_weight * age_weight
            for name, share in build.items():
                out[f"universal-{sex}-{age}-averagemuscle-{name}"] = share * sex_weight * age_weight
    for (low, high, _), value in zip(PAIRS.values(), identity.details[0].tolist(), strict=True):
        out[low], out[high] = max(-value, 0.0), max(value, 0.0)
    out.update(zip(FORMS, identity.forms[0].tolist(), strict=True))
    for name, value in zip(EXPRESSIONS, expression[0].tolist(), strict=True):
        if name.startswith("eye-"):
            out.update({f"{name}/{r}": value * share for r, share in race.items()})
        else:
            out[name] = value
    return out


def build_head(model: HeadModel, identity: IdentityParams, expression: Tensor) -> Head:
    """Return the head of a batch of one with its expression."""
    coarse = model.blend(weights(identity, expression))
    coarse = coarse + _asymmetry(coarse, identity.asymmetry_mm[0])
    eyes = coarse[-EYE_POINTS:].reshape(2, 2, 3)
    points = model.fine(coarse)
    return Head(
        points,
        vertex_normals(points, model.topo.fine_quads),
        eyes[:, 0],
        (eyes[:, 1] - eyes[:, 0]).norm(dim=-1),
    )


def _asymmetry(points: Tensor, amplitude_mm: Tensor) -> Tensor:
    """Return a smooth displacement that differs between left and right: no face is its own mirror image."""
    x, y = points[:, 0] / 60, points[:, 1] / 60
    inside = torch.exp(-((points[:, 1] + 30) / 110).square())
    side = torch.tanh(x)
    lift = side * (amplitude_mm[0] + amplitude_mm[1] * torch.sin(2 * y))
    shift = amplitude_mm[2] * torch.sin(1.7 * y) + amplitude_mm[3] * (y * 0.7)
    return torch.stack([shift * inside, lift * inside, torch.zeros_like(x)], -1)


def rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Tensor:
    """Return the (3, 3) world rotation of a head: roll first, then pitch, then yaw."""
    y, p, r = (math.radians(a) for a in (yaw_deg, -pitch_deg, roll_deg))
    about_y = torch.tensor([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    about_x = torch.tensor([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    about_z = torch.tensor([[math.cos(r), math.sin(r), 0], [-math.sin(r), math.cos(r), 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def neck_share(rest: Tensor) -> Tensor:
    """Return (V, 1): how far a point of the rest mesh follows the head (1) rather than the shoulders (0)."""
    # From the throat up to the nape: the whole jaw belongs to the head, so the line runs well below it in front.
    line = -141 + 0.42 * (-40 - rest[:, 2]).clamp(0, 100)
    level = (rest[:, 1] - line) / 56
    t = (0.5 + 0.5 * level).clamp(0, 1)
    return (t * t * (3 - 2 * t))[:, None]


def place(points: Tensor, vectors: bool, share: Tensor, head: Tensor, body: Tensor) -> Tensor:
    """Turn points (or vectors) of the rest frame into the world, blending head and shoulders by `share`."""
    pivot = torch.zeros(3) if vectors else torch.tensor(PIVOT_MM)
    local = points - pivot
    return torch.lerp(local @ body.T, local @ head.T, share) + pivot


def turned(points: Tensor, head: Tensor) -> Tensor:
    """Turn (…, 3) points that belong wholly to the head into the world."""
    pivot = torch.tensor(PIVOT_MM)
    return (points - pivot) @ head.T + pivot


def camera(head: Head, nuisance: NuisanceParams, turn: Tensor, size: int) -> Camera:
    """Return the camera of a batch of one that frames the head as the session says."""
    face = head.points[_between(head.points)]
    width = float(face[:, 0].amax() - face[:, 0].amin())
    distance, share = float(nuisance.distance_mm[0]), float(nuisance.share[0])
    focal = share * size * (distance + 25) / width
    aim = turned(torch.tensor([0.0, -22.0 - 60 * (share - 0.5), 0.0]), turn)
    depth = distance - float(aim[2])
    shift = (nuisance.offset[0] * size).tolist()
    centre = (
        size / 2 - float(aim[0]) / depth * focal + shift[0],
        size / 2 + float(aim[1]) / depth * focal + shift[1],
    )
    return Camera(distance, focal, centre, size)


def _between(points: Tensor) -> Tensor:
    """Select the cheeks and jaw in front of the ears, whose width frames the face."""
    return (points[:, 2] > -45) & (points[:, 1] < 5) & (points[:, 1] > -100)
