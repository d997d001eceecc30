"""What one worn mask is drawn from: the wearer, the light, the mask's mesh and where the picture shows it."""

from dataclasses import dataclass

from spooflab.generators.attacks.masks.fit import Worn
from spooflab.generators.attacks.masks.light import Lamp
from spooflab.generators.attacks.masks.surface import Surface
from spooflab.generators.face import Face
from spooflab.generators.geometry.head_fit import HeadFit
from spooflab.generators.geometry.light import Light


@dataclass(frozen=True, eq=False)
class Sitting:
    """One wearer with a mask before the camera.

    Attributes:
        face: a batch of one.
        fit: the wearer's head.
        light: on it.
        sources: lamps that the mask mirrors.
        worn: the mask's mesh.
        surface: the mask over the picture.
        off: names of effects that are switched off.
    """

    face: Face
    fit: HeadFit
    light: Light
    sources: tuple[Lamp, ...]
    worn: Worn
    surface: Surface
    off: frozenset[str]
