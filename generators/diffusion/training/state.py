"""A training run's state as one safetensors file: weights, moments, moving averages, step; whole or not at all."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from spooflab.atomic import replace, write_aside
from spooflab.errors import DataError


def save_state(
    path: Path, module: nn.Module, optimiser: torch.optim.Optimizer, averages: list[Tensor], step: int, key: str
) -> None:
    """Write the state of what is trained; `key` names the run, so that no other goes on from it."""
    held = {f"weight.{name}": p.detach().cpu().contiguous() for name, p in trained(module)}
    held |= {f"average.{k}": value.detach().cpu().contiguous() for k, value in enumerate(averages)}
    for number, values in optimiser.state_dict()["state"].items():
        held |= {f"adam.{number}.{n}": torch.as_tensor(v).cpu().contiguous() for n, v in values.items()}
    aside = path.with_suffix(".part")
    aside.unlink(missing_ok=True)
    write_aside(aside, save(held, {"step": str(step), "key": key}))
    replace(aside, path)


def resume_state(
    path: Path, module: nn.Module, optimiser: torch.optim.Optimizer, averages: list[Tensor], key: str
) -> int:
    """Take a state up and return its step; 0, with nothing changed, where there is none.

    Raises:
        DataError: the file is damaged, or another run wrote it.
    """
    if not path.exists():
        return 0
    wanted, moments = dict(trained(module)), dict[int, dict[str, Tensor]]()
    means = dict(enumerate(averages))
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            if facts.get("key") != key:
                raise DataError(
                    f"{path}: the state of a run with other settings", next_step="name another folder, or remove it"
                )
            for name in file.keys():  # noqa: SIM118  # no mapping: it has no iterator
                kind, _, rest = name.partition(".")
                value = file.get_tensor(name)
                if kind == "adam":
                    number, _, field = rest.partition(".")
                    moments.setdefault(int(number), {})[field] = value
                    continue
                into = wanted.pop(rest) if kind == "weight" else means.pop(int(rest))
                with torch.no_grad():
                    into.copy_(value)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise DataError(f"{path}: no state of this run: {error}", next_step="remove it to begin anew") from error
    if wanted or means:
        lacking = str(sorted(wanted)[:3]) if wanted else f"average {min(means)}"
        raise DataError(f"{path}: it lacks {lacking}", next_step="remove it to begin anew")
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    return int(facts["step"])


def trained(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return the parameters that learn, by name."""
    return [(name, p) for name, p in module.named_parameters() if p.requires_grad]
