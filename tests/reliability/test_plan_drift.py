"""A plan that has changed since a data set was begun is refused, and the keys that changed are named."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults import Fault, Outcome
from final_files import shard_hashes
from small_generation import SMALL

from spooflab.errors import DataError
from spooflab.generators import run as generation
from spooflab.generators.config import GenerationConfig
from spooflab.generators.plan import plan_record
from spooflab.provenance import code_facts
from spooflab.store import Store

Endure = Callable[[Fault], Outcome]
pytestmark = pytest.mark.slow
BEGUN = SMALL.model_copy(update={"attacks": ("print_a4", "replay_phone"), "devices": ("old_phone", "kiosk")})


def drifts(rng: random.Random) -> dict[str, dict[str, Any]]:
    """Return changes of the configuration by the key that must be named."""
    return {
        "config.seed": {"seed": BEGUN.seed + rng.randint(1, 1000)},
        "config.shard_size": {"shard_size": rng.choice((1, 3, 4))},
        "config.n": {"n": BEGUN.n + rng.randint(1, 5)},
        "config.attacks": {"attacks": BEGUN.attacks[::-1]},
        "config.devices": {"devices": BEGUN.devices[::-1]},
        "config.bonafide_share": {"bonafide_share": rng.choice((0.25, 0.75))},
        "config.output_px": {"output_px": rng.choice((48, 64))},
        "config.faces": {"faces": (BEGUN.faces[0].model_copy(update={"subjects": rng.randint(5, 9)}),)},
    }


def drifted(rng: random.Random, count: int, folder: Path) -> Outcome:
    """Go on with a data set under a plan, or a code, that has changed."""
    lab, plan = generation._prepare(BEGUN.model_dump_json())
    Store.create(folder / "data", plan_record(BEGUN, lab.refs(), code_facts()), shards=plan.shards)
    generation.make_shard(BEGUN.model_dump_json(), folder / "data", 0, {})
    before, survived, silent = shard_hashes(folder / "data"), 0, 0
    for number in range(count):
        changes = drifts(rng)
        key = [*changes, "code"][number % (len(changes) + 1)]
        try:
            if key == "code":
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(generation, "code_facts", lambda: {**code_facts(), "source_sha256": "0" * 64})
                    generation.generate(BEGUN, folder / "data", resume=True)
            else:
                changed = GenerationConfig.model_validate({**BEGUN.model_dump(), **changes[key]})
                generation.generate(changed, folder / "data", resume=True)
            silent += 1
        except DataError as error:
            survived += key in str(error) and shard_hashes(folder / "data") == before
    return Outcome(count, survived, silently_wrong=silent, also=f"{len(drifts(rng)) + 1} keys, each named")


def test_another_plan_is_refused_by_its_keys(endure: Endure) -> None:
    how = "seed, shard size, number, order of attacks and devices, shares, size, faces, code"
    endure(Fault("drift", how, drifted, trimmed=9, full=45))
