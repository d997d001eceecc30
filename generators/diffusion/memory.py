"""Whether a model's weights fit, told before they are loaded."""

import torch

from spooflab.errors import ConfigError

_ROOM = 1.25
"""Weights in one type of number, and a quarter for what runs through them."""


def available_bytes(device: torch.device) -> int | None:
    """Return the memory that is free on `device`, None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def check_memory(wanted_bytes: int, device: torch.device, *, what: str, free_bytes: int | None = None) -> None:
    """Raise `ConfigError` if `wanted_bytes` of weights, and a quarter more, do not fit into what is free.

    Args:
        wanted_bytes: of weights, in the type that they will have.
        device: where they go.
        what: the model's name, for the message.
        free_bytes: free there; None to ask the machine, and to pass where it does not say.
    """
    free = available_bytes(device) if free_bytes is None else free_bytes
    if free is not None and wanted_bytes * _ROOM > free:
        raise ConfigError(
            f"{what} takes {_gigabytes(wanted_bytes)} of weights; {device} has {_gigabytes(free)} free",
            wanted=f"{_gigabytes(int(wanted_bytes * _ROOM))} or more, to compute as well",
            next_step="use bfloat16, offload to the CPU, or take a smaller model",
        )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
