"""The optimiser of a training: AdamW, its learning rate over the steps, and its state as flat tensors."""

import math

import torch
from torch import Tensor, nn

from spooflab.adapters.train_config import TrainConfig


def adamw(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Return AdamW that decays matrices and kernels but not biases, norms or scales."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, fused=True)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the rate of optimiser step `step` (from 0): linear warm-up, then a half cosine down to 0, or constant."""
    warmup = min(config.warmup_steps, config.steps - 1)
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return config.lr
    done = (step - warmup) / (config.steps - warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * done))


def optimiser_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the moments and counters as `index/name` of the parameter's position."""
    state = optimizer.state_dict()["state"]
    return {f"{index}/{name}": t for index, slots in state.items() for name, t in slots.items()}


def restore_optimiser(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Take back what `optimiser_tensors` returned; rates and decays stay as they are."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split("/")
        # The fused optimiser walks memory: moments must lie as their parameter does (channels last).
        like = parameters[int(index)]
        slots.setdefault(int(index), {})[name] = (
            torch.empty_like(like, device="cpu").copy_(tensor) if tensor.shape == like.shape else tensor
        )
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
