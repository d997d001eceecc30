"""An attack's photograph becomes the picture of the next: a print of a screen, a screen that shows a print."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from spooflab.augment import CaptureDevice, DeviceParams, DeviceShift, develop
from spooflab.augment.photograph import scene_light
from spooflab.generators.attack import Attack, Changed
from spooflab.generators.face import Face
from spooflab.params import Params

FIRST_CAMERAS = ("front_phone", "dslr", "old_phone")
"""Profiles of the camera that takes the first photograph."""
WINDOW_PX = 512
"""Side of its picture."""


@dataclass(frozen=True)
class RecaptureParams(Params):
    """The first attack and the camera that photographed it.

    Attributes:
        shown: the attack's own parameters.
        camera: the first camera's shot.
    """

    shown: Params
    camera: DeviceParams


class Recapture:
    """A presentation as a link of a chain: photographed once, the photograph is the next link's face.

    Args:
        attack: what is photographed.
        cameras: device profiles that may take the photograph.
    """

    def __init__(self, attack: Attack, *, cameras: Sequence[str] = FIRST_CAMERAS) -> None:
        self.attack = attack
        self.species = attack.species
        self.needs_donor = attack.needs_donor
        self.cameras = DeviceShift([CaptureDevice(name) for name in cameras])

    def sample(self, batch_size: int, generator: torch.Generator) -> RecaptureParams:
        """Draw the attack, then the camera's shot."""
        return RecaptureParams(
            shown=self.attack.sample(batch_size, generator),
            camera=self.cameras.sample(batch_size, generator, size=(WINDOW_PX, WINDOW_PX)),
        )

    def parse(self, record: dict[str, Any]) -> RecaptureParams:
        """Rebuild parameters from a record's JSON."""
        return RecaptureParams(self.attack.parse(record["shown"]), DeviceParams.from_json(record["camera"]))

    def apply(self, face: Face, donor: Face | None, params: Params) -> Changed:
        """Return the photograph of the attack as a face: its light with the camera's curve undone.

        What was known of the face's shape (depth, normals, parsing) does not hold for the photograph and is dropped.
        """
        assert isinstance(params, RecaptureParams)
        rows = [
            self._photograph(face.row(i), None if donor is None else donor.row(i), params.row(i))
            for i in range(face.batch_size)
        ]
        return Changed.stack(rows)

    def _photograph(self, face: Face, donor: Face | None, params: RecaptureParams) -> Changed:
        shown = self.attack.render(face, params.camera.view, params.shown, donor)
        photo = develop(shown.irradiance, params.camera)
        seen = face.replace(
            radiance=scene_light(photo),
            landmarks=shown.landmarks,
            box=shown.box,
            depth_mm=None,
            normals=None,
            parsing=None,
            spoof_mask=shown.mask,
        )
        return Changed(seen, shown.facts, shown.instrument_id, shown.models)
