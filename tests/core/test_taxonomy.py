import re
from typing import get_args

import pytest

from spooflab.taxonomy import SPECIES, Artefact, Channel, Goal, Role, is_species, species_of


def test_every_row_is_well_formed() -> None:
    for name, row in SPECIES.items():
        assert row.name == name
        assert re.fullmatch(r"[a-z0-9_]+", name)
        assert row.channel in get_args(Channel)
        assert row.goal in get_args(Goal)
        assert row.artefact in get_args(Artefact)
        assert row.face_role in get_args(Role)
        assert row.donor_role in get_args(Role)
        assert row.face_role != row.donor_role
        assert row.family
        assert row.summary
        assert row.tree[0] == {"bonafide": "live"}.get(
            name, {"presentation": "physical", "injection": "digital"}[row.channel]
        )


def test_only_bonafide_is_bonafide() -> None:
    assert [name for name, row in SPECIES.items() if row.label == "bonafide"] == ["bonafide"]
    assert all((row.goal == "none") == (name == "bonafide") for name, row in SPECIES.items())


def test_nothing_physical_is_shown_by_an_injection() -> None:
    for row in SPECIES.values():
        assert (row.artefact == "none") == (row.channel == "injection" or row.name == "bonafide"), row.name


@pytest.mark.parametrize(
    ("name", "channel", "family", "claimed", "attacker"),
    [
        ("bonafide", "presentation", "bonafide", "anna", ""),
        ("print_a4", "presentation", "print", "anna", ""),
        ("print_cut", "presentation", "cutout", "anna", "bert"),
        ("mask_silicone", "presentation", "mask", "bert", "anna"),
        ("makeup_cosmetic", "presentation", "makeup", "", "anna"),
        ("swap_blend", "injection", "swap", "bert", "anna"),
        ("swap_blend+replay_phone", "presentation", "replay", "bert", "anna"),
        ("replay_phone+print_a4", "presentation", "print", "anna", ""),
        ("replay_phone+swap_blend", "injection", "swap", "bert", "anna"),
    ],
)
def test_channel_family_and_identities(name: str, channel: str, family: str, claimed: str, attacker: str) -> None:
    row = species_of(name)
    donor = "bert" if row.donor_role else ""
    assert (row.name, row.channel, row.family) == (name, channel, family)
    assert row.identities("anna", donor) == (claimed, attacker)


def test_a_chain_names_every_step_in_its_tree() -> None:
    assert species_of("swap_blend+replay_phone").tree == ("physical", "2d", "replay", "face_swap")
    assert species_of("a4".join(["print_", "+replay_tv+print_", ""])).tree == (
        "physical",
        "2d",
        "print",
        "print",
        "replay",
    )


@pytest.mark.parametrize(
    "name", ["", "print", "print_a4+", "+print_a4", "bonafide+print_a4", "print_a4+bonafide", "a+b"]
)
def test_what_is_no_species(name: str) -> None:
    assert not is_species(name)
    with pytest.raises(KeyError):
        species_of(name)
