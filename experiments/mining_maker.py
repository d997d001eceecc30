"""The lab as a mining loop's maker: points of the cube in, photographed samples with their physics out."""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from spooflab.adapters.image_set import to_training_size
from spooflab.adapters.mining import Made, Point, Space, coordinates
from spooflab.errors import ConfigError
from spooflab.generators.lab import Lab
from spooflab.generators.plan import PlannedFace, SampleSpec
from spooflab.images import decode_image
from spooflab.primary_sample import PrimarySample
from spooflab.seeds import generator


class LabMaker:
    """Makes points with a lab: some of its faces, some of its devices.

    A point without coordinates gives the sample that `Lab.make` gives for its seed. Faces and donors follow the point's
    seed; a donor is another subject among the same faces.

    Args:
        lab: sources, attacks and devices.
        faces: whose faces may be used.
        devices: ids of the devices that may be used.
        size: side of the pictures in pixels.

    Attributes:
        species: every attack of the lab, and `bonafide`.
    """

    def __init__(self, lab: Lab, faces: Sequence[PlannedFace], devices: Sequence[str], size: int) -> None:
        if not faces or not devices:
            raise ConfigError(f"{len(faces)} faces and {len(devices)} devices to mine with", wanted="one or more")
        self.lab, self.faces, self.devices, self.size = lab, tuple(faces), tuple(devices), size
        self.species = tuple(lab.attacks)

    def space(self, species: str) -> Space:
        """Return the cubes of a species and of the shots, probed from draws of the prior."""
        return _space(self.lab, species, self.devices)

    def make(self, point: Point) -> Made:
        """Draw what the point does not say, render and photograph.

        Raises:
            SkipSample: it cannot be made, or quality control refuses it.
        """
        spec = self._spec(point)
        draws = {name: generator(point.seed, name) for name in ("attack", "device")}
        with PrimarySample(draws["attack"], point.attack) as attack:
            attack_params = self.lab.attacks[point.species].sample(1, draws["attack"])
        with PrimarySample(draws["device"], point.shot) as shot:
            device_params = self.lab.draw_shot(point.device, draws["device"])
        sample = self.lab.shoot(spec, attack_params, device_params)
        record: dict[str, Any] = {
            "subject": sample.subject_id,
            "instrument": sample.instrument_id,
            "drawn": {"attack": attack.values, "shot": shot.values},
            "params": json.loads(sample.params),
        }
        return Made(to_training_size(decode_image(sample.image), self.size), record)

    def _spec(self, point: Point) -> SampleSpec:
        draw = generator(point.seed, "who")
        face = self.faces[int(torch.randint(len(self.faces), (1,), generator=draw))]
        others = [other for other in self.faces if other.subject_id != face.subject_id]
        donor = others[int(torch.randint(len(others), (1,), generator=draw))] if others else None
        return SampleSpec(0, f"m{point.seed:016x}", point.species, face, donor, point.device, point.seed)


@lru_cache(maxsize=64)
def _space(lab: Lab, species: str, devices: tuple[str, ...]) -> Space:
    attack = lab.attacks[species]
    # Every camera of the lab draws a shot from the same row of numbers (`augment.draw`).
    return Space(
        species,
        coordinates(lambda gen: attack.sample(1, gen)),
        coordinates(lambda gen: lab.draw_shot(devices[0], gen)),
    )
