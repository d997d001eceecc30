"""One ONNX model on the CPU, with one input: opened alike, and checked alike, wherever a person brings one."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from spooflab.errors import ConfigError


def open_session(model: str | bytes, *, name: str, missing: str, wanted: str, threads: int = 1) -> Any:
    """Return an onnxruntime session.

    Args:
        model: a file's path or content.
        name: of the model, for messages.
        missing: what is said where onnxruntime is not installed.
        wanted: what a model that it refuses should have been.
        threads: one makes the same sums in the same order everywhere.

    Raises:
        ConfigError: onnxruntime is missing or refuses the model.
    """
    try:
        onnxruntime: Any = import_module("onnxruntime")
    except ImportError as error:
        raise ConfigError(missing, next_step="pip install 'spooflab[detect]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no public base
        raise ConfigError(f"model {name}: onnxruntime refuses it: {error}", wanted=wanted) from error


def ports(
    session: Any, *, side: int, layout: str, output: str | None, name: str, prefix: str, gives: str
) -> tuple[str, str]:
    """Return the names of the input and the output, checked as far as the model tells.

    Args:
        session: of `open_session`.
        side: pixels of the square crop that it takes.
        layout: `nchw` or `nhwc`.
        output: name of the wanted output; the only one by default.
        name: of the model, for messages.
        prefix: of the settings' names in messages, such as `onnx.`.
        gives: what the output is, for messages.

    Raises:
        ConfigError: several inputs, another input, or no such output.
    """
    inputs, names = session.get_inputs(), [port.name for port in session.get_outputs()]
    if len(inputs) != 1:
        raise ConfigError(f"model {name}: {len(inputs)} inputs", wanted="one, the crop")
    wish: Sequence[int] = [1, 3, side, side] if layout == "nchw" else [1, side, side, 3]
    told = list(inputs[0].shape)
    if len(told) != 4 or any(isinstance(a, int) and a != b for a, b in zip(told, wish, strict=True)):
        steps = f"set `{prefix}input_px` and `{prefix}layout`"
        raise ConfigError(f"model {name}: input {told}", wanted=f"{wish}", next_step=steps)
    if inputs[0].type != "tensor(float)":
        raise ConfigError(f"model {name}: input of {inputs[0].type}", wanted="tensor(float)")
    if output is None and len(names) != 1:
        raise ConfigError(f"model {name}: outputs {', '.join(names)}", wanted=f"`{prefix}output` to name the {gives}")
    if output is not None and output not in names:
        raise ConfigError(f"model {name}: no output {output}", wanted=f"one of {', '.join(names)}")
    return str(inputs[0].name), output or str(names[0])
