"""The plan: shares, groups, donors and independence of everything that must not matter."""

from collections import Counter

import pytest

from spooflab.config import parse_config
from spooflab.errors import ConfigError
from spooflab.generators.config import GenerationConfig
from spooflab.generators.face import FaceRef
from spooflab.generators.plan import Plan, make_plan, plan_record

DEVICES = ("front_phone/u00", "dslr/u00", "dslr/u01")


def refs(subjects: int, sessions: int = 2) -> tuple[FaceRef, ...]:
    return tuple(
        FaceRef(f"p{s:03d}", f"p{s:03d}-{k}", "CC0-1.0", {"subject": s, "session": k})
        for s in range(subjects)
        for k in range(sessions)
    )


def plan(**changes: object) -> Plan:
    config = GenerationConfig.model_validate({"n": 400, "seed": 3, **changes})
    return make_plan(config, {"procedural": refs(11)}, DEVICES)


def test_every_prefix_holds_each_species_in_its_share() -> None:
    made = plan(bonafide_share=0.3)
    attacks = GenerationConfig().attacks
    for length in (50, 200, 400):
        counts = Counter(spec.species for spec in made.specs[:length])
        assert abs(counts["bonafide"] - 0.3 * length) <= 1
        assert all(abs(counts[name] - 0.7 / len(attacks) * length) <= 1 for name in attacks)


def test_a_longer_plan_starts_with_the_shorter_one() -> None:
    assert plan(n=500).specs[:400] == plan().specs


def test_donors_are_other_subjects_of_the_same_group_and_groups_are_never_lonely() -> None:
    made = plan()
    members: dict[str, set[str]] = {}
    for spec in made.specs:
        members.setdefault(spec.face.group, set()).add(spec.face.subject_id)
        assert spec.donor is not None
        assert spec.donor.group == spec.face.group
        assert spec.donor.subject_id != spec.face.subject_id
    assert sorted(len(m) for m in members.values()) == [4, 7]  # eleven subjects: four, and four with the three left


def test_species_tells_nothing_of_device_or_subject() -> None:
    counts = Counter((spec.species == "bonafide", spec.device_id) for spec in plan(n=3000, bonafide_share=0.5).specs)
    for device in DEVICES:
        assert abs(counts[True, device] - 500) < 75  # 3.5 standard deviations of a binomial(1500, 1/3)
        assert abs(counts[False, device] - 500) < 75


def test_sources_share_every_species_as_configured() -> None:
    photographs = {"kind": "folder", "root": "x", "share": 1, "licence": "CC0-1.0", "consent": "signed forms"}
    config = GenerationConfig.model_validate({"n": 400, "faces": [{"kind": "procedural", "share": 3}, photographs]})
    made = make_plan(config, {"procedural": refs(8), "folder": refs(2, 1)}, DEVICES)
    for species in ("bonafide", *config.attacks):
        counts = Counter(spec.face.source for spec in made.specs if spec.species == species)
        assert abs(counts["folder"] - counts.total() / 4) <= 1


def test_keys_say_nothing_and_seeds_differ() -> None:
    made = plan()
    assert [s.key for s in made.specs[:2]] == ["s00000000", "s00000001"]
    assert len({s.seed for s in made.specs}) == 400


def test_shards_cover_the_plan_once() -> None:
    made = plan(shard_size=37)
    assert made.shards == 11
    assert tuple(s for k in range(made.shards) for s in made.shard(k)) == made.specs


def test_one_sample_is_had_without_the_others_and_counts_without_any() -> None:
    made = plan(n=333, bonafide_share=0.3)
    assert [made.spec(index) for index in (0, 17, 332)] == [made.specs[index] for index in (0, 17, 332)]
    assert made.counts() == {**dict.fromkeys(("bonafide", *GenerationConfig().attacks), 0)} | Counter(
        spec.species for spec in made.specs
    )


def test_a_sample_that_nobody_asked_for_takes_a_few_bytes() -> None:
    made = plan(n=20_000)
    held = sum(len(column) * column.itemsize for column in (made._kind_of, made._turns))
    assert held <= 8 * len(made) == 160_000


def test_record_changes_with_the_faces() -> None:
    config = GenerationConfig()
    one, two = (plan_record(config, {"procedural": refs(n)}, {}) for n in (4, 5))
    assert one["faces_sha256"] != two["faces_sha256"]


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"n": 0}, "n:"),
        ({"output_px": 1024}, "output_px 1024"),
        ({"attacks": []}, "attacks is empty"),
        ({"attacks": ["print_a4", "print_a4"]}, "repeat"),
        ({"colour": 1}, "colour"),
        ({"faces": [{"kind": "oracle"}]}, "faces"),
        ({"faces": [{"kind": "folder", "root": "x"}]}, "faces.0 .*licence and consent unstated"),
        ({"faces": [{"kind": "hf", "dataset": "x", "licence": "CC0-1.0", "consent": " "}]}, "consent unstated"),
        ({"bonafide_share": float("nan")}, "bonafide_share"),
    ],
)
def test_bad_configurations_are_named(bad: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        parse_config(bad, GenerationConfig, origin="test")
