"""Gauss–Newton for one face: pose, distance, scale, identity and expression from 68 landmarks, in float64."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from spooflab.generators.faces.procedural.modes import EXPRESSIONS
from spooflab.generators.faces.procedural.shape import PIVOT_MM
from spooflab.generators.geometry.head_basis import head_basis

_RIGID_STEPS, _STEPS = 2, 12
_TILT = math.radians(20)
_STILL = 0.06
"""Largest change of a coefficient, in its own units, at which the fit has settled."""
_HUBER = 2.0
_SHAPE_LIMIT, _EXPRESSION_LIMITS = 3.0, (-0.15, 1.2)
_POSE = 7
_FIXED, _BANDS = 52, 8


@dataclass(frozen=True)
class HeadState:
    """Where the fit stands.

    Attributes:
        turn: (3, 3) from the head frame to camera axes.
        origin: (2,) pixel of the head's origin.
        log_distance: logarithm of the distance of the head's origin, millimetres.
        log_scale: logarithm of pixels per millimetre there.
        coefficients: (S + E,) shape and expression.
    """

    turn: Tensor
    origin: Tensor
    log_distance: float
    log_scale: float
    coefficients: Tensor


@dataclass(frozen=True)
class HeadProblem:
    """What is to be explained.

    Attributes:
        seen: (68, 2) pixels, float64.
        centre: (2,) principal point.
        noise_px: standard deviation of inner landmarks.
        distance_mm, distance_spread: median and logarithmic spread of the prior of the distance.
    """

    seen: Tensor
    centre: Tensor
    noise_px: float
    distance_mm: float
    distance_spread: float


def solve_head(problem: HeadProblem, *, aim: bool) -> tuple[HeadProblem, HeadState]:
    """Return the problem, with its principal point moved where `aim` is set, and the maximum a posteriori.

    Pose is found first, so that identity does not bend to a wrong one. With `aim`, the camera is taken to point at
    where the eyes would be if the head were not turned: people turn their heads on their necks, and cameras point at
    people.
    """
    state = _start(problem)
    for _ in range(_RIGID_STEPS):
        state = _step(problem, state, rigid=True)
        if aim:
            problem = replace(problem, centre=_aimed(state))
    for step in range(_STEPS):
        before, state = state, _step(problem, state, rigid=False)
        if aim and step == 0:
            problem = replace(problem, centre=_aimed(state))
            continue
        turned = float((state.turn - before.turn).abs().amax())
        if turned < 1e-3 and float((state.coefficients - before.coefficients).abs().amax()) < _STILL:
            break
    return problem, state


def _aimed(state: HeadState) -> Tensor:
    """Return (2,) the pixel of the unturned head's origin: it turns on the neck, tilts up to 20° likewise, and what the
    picture is tilted beyond that is the camera's.
    """
    roll = math.atan2(float(state.turn[1, 0]), float(state.turn[0, 0]))
    camera = roll - min(max(roll, -_TILT), _TILT)
    c, s = math.cos(camera), math.sin(camera)
    upright = torch.tensor([[c, s, 0], [s, -c, 0], [0, 0, -1]], dtype=torch.float64)
    reach = -torch.tensor(PIVOT_MM, dtype=torch.float64)
    return state.origin - math.exp(state.log_scale) * ((state.turn - upright) @ reach)[:2]


def residuals(problem: HeadProblem, state: HeadState) -> Tensor:
    """Return (68, 2) pixels by which the landmarks lie off the head's."""
    return _linearised(problem, state)[0]


def _start(problem: HeadProblem) -> HeadState:
    """Weak perspective from the points inside the face: least squares, then the nearest rotation."""
    _, mean = _prior()
    marks = head_basis().marks
    points = (marks[1:_FIXED, :, 0] + marks[1:_FIXED, :, 1:] @ mean, problem.seen[17:])
    middle, image = points[0].mean(0), points[1].mean(0)
    flat = points[0] - middle
    affine = torch.linalg.solve(flat.T @ flat, flat.T @ (points[1] - image)).T
    u, s, vt = torch.linalg.svd(affine, full_matrices=False)
    two = u @ vt
    turn = torch.cat([two, torch.linalg.cross(two[0], two[1])[None]])
    scale = max(float(s.mean()), 1e-6)
    return HeadState(turn, image - scale * (two @ middle), math.log(problem.distance_mm), math.log(scale), mean)


def _linearised(problem: HeadProblem, state: HeadState) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return residuals (68, 2), then per landmark: marks, turned points, lateral offsets and depth."""
    marks = head_basis().marks
    scale, distance = math.exp(state.log_scale), math.exp(state.log_distance)
    turned = (torch.matmul(marks[..., 1:], state.coefficients) + marks[..., 0]) @ state.turn.T
    offset = turned[:, :2] + (state.origin - problem.centre) / scale
    depth = (turned[:, 2] + distance).clamp(min=0.2 * distance)
    pixels = problem.centre + offset * (scale * distance / depth)[:, None]
    rows = _visible(pixels, state.turn)
    return problem.seen - pixels[rows], marks[rows], turned[rows], offset[rows], depth[rows]


def _step(problem: HeadProblem, state: HeadState, *, rigid: bool) -> HeadState:
    off, marks, turned, offset, depth = _linearised(problem, state)
    sigma = _relative_noise() * problem.noise_px
    far = off.square().sum(1).sqrt() / sigma
    weight = (_HUBER / far.clamp(min=1e-9)).clamp(max=1).sqrt() / sigma
    jacobian = _jacobian(state, marks, turned, offset, depth, rigid=rigid)
    a = (jacobian * weight[:, None, None]).reshape(136, -1)
    b = (off * weight[:, None]).reshape(136)
    precision, pull = torch.full((a.shape[1],), 1e-9, dtype=a.dtype), torch.zeros(a.shape[1], dtype=a.dtype)
    precision[5] = problem.distance_spread**-2
    pull[5] = (math.log(problem.distance_mm) - state.log_distance) * precision[5]
    if not rigid:
        strength, mean = _prior()
        precision[_POSE:] = strength
        pull[_POSE:] = (mean - state.coefficients) * strength
    normal = a.T @ a
    normal.diagonal().add_(precision)
    # A singular system gives values that are not finite, which the caller sees in the residuals.
    return _moved(state, torch.linalg.solve_ex(normal, a.T @ b + pull).result)


def _jacobian(state: HeadState, marks: Tensor, turned: Tensor, offset: Tensor, depth: Tensor, *, rigid: bool) -> Tensor:
    """Return (68, 2, 7 or 7 + C): turn about x, y and z, origin's x and y, log distance, log scale, coefficients."""
    scale, distance = math.exp(state.log_scale), math.exp(state.log_distance)
    zoom = scale * distance / depth
    by_point = torch.zeros(68, 2, 3, dtype=marks.dtype)
    by_point[:, 0, 0] = by_point[:, 1, 1] = zoom
    by_point[:, :, 2] = offset * (-zoom / depth)[:, None]
    x, y, z = turned.unbind(1)
    zero = torch.zeros_like(x)
    # Columns: the point's speed when it turns about each axis.
    spin = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], 1).reshape(68, 3, 3)
    out = torch.zeros(68, 2, _POSE if rigid else _POSE + marks.shape[2] - 1, dtype=marks.dtype)
    out[:, :, :3] = by_point @ spin
    out[:, 0, 3] = out[:, 1, 4] = distance / depth
    out[:, :, 5] = offset * (zoom * z / depth)[:, None]
    out[:, :, 6] = turned[:, :2] * zoom[:, None]
    if not rigid:
        out[:, :, _POSE:] = (by_point @ state.turn) @ marks[:, :, 1:]
    return out


def _moved(state: HeadState, move: Tensor) -> HeadState:
    """Return the state after a step, none of which may be wild."""
    pose = move[:_POSE].tolist()
    angle = math.hypot(*pose[:3])
    share = min(1.0, 0.5 / max(angle, 1e-9))
    coefficients = state.coefficients
    if len(move) > _POSE:
        count = head_basis().shapes
        coefficients = coefficients + move[_POSE:]
        coefficients[:count].clamp_(-_SHAPE_LIMIT, _SHAPE_LIMIT)
        coefficients[count:].clamp_(*_EXPRESSION_LIMITS)
    return HeadState(
        _rotation([share * v for v in pose[:3]]) @ state.turn,
        state.origin + move[3:5],
        state.log_distance + min(max(pose[5], -0.3), 0.3),
        state.log_scale + min(max(pose[6], -0.3), 0.3),
        coefficients,
    )


def _rotation(vector: list[float]) -> Tensor:
    """Return the (3, 3) rotation about a vector by its length (Rodrigues)."""
    angle = math.hypot(*vector)
    x, y, z = (v / max(angle, 1e-12) for v in vector)
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    out: Tensor = torch.eye(3, dtype=torch.float64) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)
    return out


def _visible(pixels: Tensor, turn: Tensor) -> Tensor:
    """Return the (68,) rows of `marks` that are the landmarks: each jaw band gives its outermost point as seen."""
    along = torch.mv(pixels[_FIXED:], turn[:2, 0]).reshape(2, _BANDS, -1)
    width = along.shape[2]
    start = _FIXED + torch.arange(_BANDS) * width
    left, right = start + along[0].argmin(1), start + _BANDS * width + along[1].argmax(1)
    return torch.cat([left, torch.zeros(1, dtype=torch.int64), right.flip(0), torch.arange(1, _FIXED)])


@lru_cache(maxsize=1)
def _relative_noise() -> Tensor:
    """Return (68,) how much noisier a landmark is than the eyes', nose's and mouth's: contours slide, brows blur."""
    out = torch.ones(68, dtype=torch.float64)
    out[:17], out[17:27] = 2.5, 1.8
    return out


@lru_cache(maxsize=1)
def _prior() -> tuple[Tensor, Tensor]:
    """Return precision and mean of the coefficients: mouths and brows move a lot, the other units little."""
    large = {
        "mouth-corner-puller": 0.4,
        "mouth-open": 0.25,
        "mouth-part-later": 0.3,
        "eyebrows-*-up": 0.4,
        "eyebrows-*-down": 0.35,
        "eye-*-slit": 0.3,
        "eye-*-closure": 0.3,
        "eye-*-opened-up": 0.25,
    }
    units = torch.tensor([large.get(name, 0.15) for name in EXPRESSIONS], dtype=torch.float64)
    deviation = torch.cat([torch.ones(head_basis().shapes, dtype=torch.float64), units])
    return deviation**-2, torch.zeros_like(deviation)
