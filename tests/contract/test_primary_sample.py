"""Every attack and every device can be searched in primary sample space."""

import json

import pytest
import torch

from spooflab.augment import CaptureDevice
from spooflab.generators.catalogue import build_attack, known_attacks
from spooflab.params import Params
from spooflab.primary_sample import PrimarySample
from spooflab.seeds import generator


class Device:
    """A camera drawn as an attack is."""

    def __init__(self, profile: str) -> None:
        self.device = CaptureDevice(profile)

    def sample(self, batch_size: int, gen: torch.Generator) -> Params:
        return self.device.sample(batch_size, gen, size=(256, 256))


def thing(name: str) -> Device | object:
    return Device(name.removeprefix("device ")) if name.startswith("device ") else build_attack(name)


@pytest.mark.parametrize("name", ["bonafide", *known_attacks(), "device front_phone", "device ip_camera"])
def test_what_the_generator_draws_by_itself_replays_to_the_bit_and_a_move_moves_it(name: str) -> None:
    attack = thing(name)

    def draw(gen: torch.Generator) -> str:
        return json.dumps(attack.sample(1, gen).to_json())

    lengths = set()
    for seed in range(3):
        plain = draw(generator(seed, name))
        gen = generator(seed, name)
        with PrimarySample(gen) as mode:
            assert draw(gen) == plain
        gen = generator(seed, name)
        with PrimarySample(gen, mode.values):
            assert draw(gen) == plain
        lengths.add(len(mode.values))
        gen = generator(seed, name)
        with PrimarySample(gen, [(u + 0.37) % 1 for u in mode.values]):
            assert draw(gen) != plain
    assert len(lengths) == 1
