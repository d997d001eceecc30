"""Rows as the data come: each once per walk, with the data's own shares, and trainable."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from spooflab.adapters import ImageSet, TrainConfig, fit, load_model
from spooflab.adapters.batch_order import batch_order, class_shares

LABELS = torch.tensor([0] * 9 + [1] * 3)
DOMAINS = torch.arange(12) % 2


def config(**changes: object) -> TrainConfig:
    fields: dict[str, object] = {
        "backbone": {"options": {"embedding_size": 8, "hidden_sizes": [8, 8, 12, 16]}},
        "device": "cpu",
        "size": 32,
        "steps": 6,
        "batch_size": 4,
        "eval_every": 3,
        "checkpoint_every": 2,
        "balance": "none",
    }
    return TrainConfig.model_validate(fields | changes)


def test_every_row_comes_once_per_walk_in_an_order_of_its_own():
    order = batch_order(config(), LABELS, DOMAINS, seed=0)
    walks = [[row for step in range(3 * w, 3 * w + 3) for row in order.batch(step)[0]] for w in range(3)]
    assert all(Counter(walk) == Counter(range(12)) for walk in walks)
    assert walks[0] != walks[1]
    assert {epoch for step in range(3, 6) for epoch in order.batch(step)[1]} == {1}
    again = batch_order(config(), LABELS, DOMAINS, seed=0)
    assert again.batch(5) == order.batch(5)
    assert again.batch(0) != batch_order(config(), LABELS, DOMAINS, seed=1).batch(0)


def test_shares_are_those_of_the_batches():
    assert class_shares(config(), LABELS) == (0.75, 0.25)
    assert class_shares(config(balance="class_domain"), LABELS) == (0.5, 0.5)
    balanced = batch_order(config(balance="class_domain"), LABELS, DOMAINS, seed=0)
    assert LABELS[balanced.batch(0)[0]].float().mean().item() == 0.5


@pytest.mark.parametrize("kind", ["logit_adjusted", "ldam"])
def test_a_training_takes_the_shares_of_its_data_and_keeps_them(
    kind: str, toy: Callable[..., ImageSet], tmp_path: Path
):
    whole = toy(40)
    rows = [i for i in range(40) if whole.labels[i] == 0 or i < 10]
    settings = config(class_loss={"kind": kind})
    result = fit(settings, train=whole.subset(rows), dev=toy(16, root=1), seed=0, out=tmp_path)
    assert result.model.class_loss.prior.tolist() == pytest.approx([0.8, 0.2])
    assert load_model(tmp_path).class_loss.prior.tolist() == pytest.approx([0.8, 0.2])
    assert "empty_cell" not in (tmp_path / "log.jsonl").read_text()
    assert json.loads((tmp_path / "model.json").read_text())["config"]["balance"] == "none"
