"""A small training without batch norm, to be started by torchrun or alone; stops at a step if it is told one."""

import sys
from pathlib import Path

import torch
from interrupted import small, stop_at

from spooflab.adapters import ImageSet, fit


def toy(count: int, root: int) -> ImageSet:
    gen = torch.Generator().manual_seed(root)
    labels, domains = torch.arange(count) % 2, torch.arange(count) // 2 % 3
    images = 60 + 80 * torch.rand(count, 3, 32, 32, generator=gen)
    images[labels == 1, :, :, ::4] += 40
    return ImageSet(images.to(torch.uint8), labels, domains, [f"{root}-{i}" for i in range(count)], ["x"] * count)


if __name__ == "__main__":
    torch.set_num_threads(1)
    options = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    plan = small(backbone={"name": "vit-tiny", "options": options}, steps=12, averaging={"kind": "ema", "decay": 0.5})
    stop = int(sys.argv[2])
    fit(
        plan,
        train=toy(48, 0),
        dev=toy(16, 1),
        seed=4,
        out=Path(sys.argv[1]),
        progress=stop_at(stop) if stop else None,
    )
