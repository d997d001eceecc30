import re
from typing import get_args

from spooflab.taxonomy import SPECIES, Channel, Goal


def test_every_row_is_well_formed() -> None:
    for name, row in SPECIES.items():
        assert row.name == name
        assert re.fullmatch(r"[a-z0-9_]+(\+[a-z0-9_]+)*", name)
        assert row.channel in get_args(Channel)
        assert row.goal in get_args(Goal)
        assert row.family
        assert row.summary


def test_only_bonafide_is_bonafide() -> None:
    assert [name for name, row in SPECIES.items() if row.label == "bonafide"] == ["bonafide"]
    assert all((row.goal == "none") == (name == "bonafide") for name, row in SPECIES.items())


def test_chains_are_made_of_known_steps_and_take_the_last_ones_channel() -> None:
    for name, row in SPECIES.items():
        steps = name.split("+")
        assert all(step in SPECIES for step in steps)
        assert row.channel == SPECIES[steps[-1]].channel
        assert row.family == SPECIES[steps[-1]].family
