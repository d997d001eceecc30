"""Fit the network to batches; a stopped run goes on from its last checkpoint to the same weights."""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from spooflab.generators.face_net.network import Network
from spooflab.generators.face_net.training.judge import judge
from spooflab.generators.face_net.training.loss import losses
from spooflab.generators.face_net.training.randomise import draw_batch
from spooflab.generators.face_net.training.render import Cache
from spooflab.seeds import generator, seed

_LOG_EVERY, _JUDGE_EVERY = 25, 250


@dataclass(frozen=True)
class Plan:
    """How long and how fast.

    Attributes:
        steps: batches in all.
        batch: faces per batch.
        rate: highest learning rate.
        warm: steps until it is reached.
        seed: root of all draws.
        start: fitted weights to begin from, of another run; from scratch by default.
    """

    steps: int = 4000
    batch: int = 16
    rate: float = 1.6e-3
    warm: int = 150
    seed: int = 1
    start: Path | None = None


def fit(work: Path, cache: Cache, held_out: Cache, textures: Tensor, plan: Plan) -> Network:
    """Return the fitted network; `work` takes `state.safetensors`, `network.safetensors` and `log.jsonl`."""
    torch.manual_seed(seed(plan.seed, "weights") % 2**32)
    network = Network().to(memory_format=torch.channels_last)
    if plan.start is not None:
        network.load_state_dict(load_file(plan.start))
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=0.02)
    start = _resume(work, network, optimiser)
    began = time.monotonic()
    for step in range(start, plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = _rate(step, plan)
        cache.grow()
        gen = generator(plan.seed, "batch", step)
        rows = torch.randint(0, len(cache), (plan.batch,), generator=gen).tolist()
        with torch.no_grad():
            batch = draw_batch(cache.take(rows), textures, gen)
        network.train()
        terms = losses(network(batch.picture.contiguous(memory_format=torch.channels_last)), batch)
        total = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        done = step + 1
        if done % _LOG_EVERY == 0:
            shown = {name: round(float(value.detach()), 4) for name, value in terms.items()}
            _log(work, {"step": done, "faces": len(cache), "seconds": round(time.monotonic() - began), "loss": shown})
        if done % _JUDGE_EVERY == 0 or done == plan.steps:
            _log(work, {"step": done, "held_out": judge(network, held_out, textures)})
            _save(work, network, optimiser, done)
    return network


def _rate(step: int, plan: Plan) -> float:
    """Return the learning rate: a linear rise, then half a cosine (Loshchilov & Hutter 2017)."""
    if step < plan.warm:
        return plan.rate * (step + 1) / plan.warm
    return plan.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - plan.warm) / (plan.steps - plan.warm))))


def _log(work: Path, entry: dict[str, object]) -> None:
    with (work / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def _save(work: Path, network: Network, optimiser: torch.optim.AdamW, step: int) -> None:
    state = {f"network.{name}": value.contiguous() for name, value in network.state_dict().items()}
    for number, values in optimiser.state_dict()["state"].items():
        state.update({f"adam.{number}.{name}": torch.as_tensor(v).contiguous() for name, v in values.items()})
    save_file(state, work / "state.part", {"step": str(step)})
    (work / "state.part").replace(work / "state.safetensors")
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(weights, work / "network.part", {"step": str(step)})
    (work / "network.part").replace(work / "network.safetensors")


def _resume(work: Path, network: Network, optimiser: torch.optim.AdamW) -> int:
    """Load the last checkpoint and return its step, 0 where there is none."""
    path = work / "state.safetensors"
    if not path.exists():
        return 0
    held = load_file(path)
    network.load_state_dict({k.removeprefix("network."): v for k, v in held.items() if k.startswith("network.")})
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in held.items():
        if key.startswith("adam."):
            _, number, name = key.split(".", 2)
            moments.setdefault(int(number), {})[name] = value
    if not moments:
        return 0
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    return int(next(iter(moments.values()))["step"])
