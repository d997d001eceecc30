"""An ONNX detector with its convolutions and matrix products in 8 bits, calibrated on pictures that judge nothing."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spooflab.errors import ConfigError
from spooflab.experiments.export.detector import INPUT
from spooflab.experiments.export.onnx_graph import load_onnx, serialised
from spooflab.experiments.export.runtime import Pictures

WAYS = ("minmax", "percentile")
"""How ranges of activations are read off the calibration pictures, in the order in which they are tried. (With the bins
that onnxruntime gives it, its entropy method returns the whole range, as minmax does.)"""

MOST_AUC_LOST = 0.01
"""On source-dev: one point."""

_HEAVY = ("Conv", "MatMul", "Gemm")


class Quantised(NamedTuple):
    """A model in 8 bits.

    Attributes:
        data: the ONNX file.
        way: of `WAYS`.
        nodes: how many convolutions and products became 8-bit.
        kept: how many stayed in float: the head, and products of two activations.
    """

    data: bytes
    way: str
    nodes: int
    kept: int


def quantise(model: bytes, pictures: Pictures, way: str) -> Quantised:
    """Quantise statically: weights per output channel (symmetric, 7 bits), activations per tensor, in QDQ form.

    Weights take 7 of their 8 bits, so that processors without VNNI do not saturate their 16-bit sums: the file scores
    alike wherever it runs. The head, which makes the log-odds, stays in float.

    Args:
        model: an ONNX detector of `to_onnx`.
        pictures: (N, S, S, 3) uint8 that the ranges of activations are read off.
        way: of `WAYS`.

    Raises:
        ConfigError: nothing in the model can be quantised, or the tools are missing.
    """
    onnx = load_onnx()
    with tempfile.TemporaryDirectory() as folder, _quiet():
        tools = import_module("onnxruntime.quantization")
        prepare = import_module("onnxruntime.quantization.shape_inference").quant_pre_process
        source, prepared, final = (Path(folder) / f"{name}.onnx" for name in ("source", "prepared", "final"))
        source.write_bytes(model)
        # Folds batch norm into convolutions, which are quantised as one.
        prepare(str(source), str(prepared), skip_symbolic_shape=True)
        heavy, kept = _weighted_nodes(onnx.load(str(prepared)))
        if not heavy:
            raise ConfigError("--int8: the network has no convolution or product with weights but its head")
        methods = {"minmax": "MinMax", "percentile": "Percentile"}
        tools.quantize_static(
            str(prepared),
            str(final),
            _reader(tools.CalibrationDataReader, pictures),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=list(_HEAVY),
            nodes_to_quantize=heavy,
            per_channel=True,
            reduce_range=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            calibrate_method=getattr(tools.CalibrationMethod, methods[way]),
        )
        graph = onnx.load(str(final))
    onnx.checker.check_model(graph, full_check=True)
    return Quantised(serialised(graph), way, len(heavy), kept)


def _weighted_nodes(model: Any) -> tuple[list[str], int]:
    """Return the names of the nodes that have weights, without the last product (the head), and how many are left."""
    constant = {entry.name for entry in model.graph.initializer}
    heavy = [node for node in model.graph.node if node.op_type in _HEAVY]
    weighted = [node.name for node in heavy if any(name in constant for name in node.input[:2])]
    chosen = [name for name in weighted if name != weighted[-1]]
    return chosen, len(heavy) - len(chosen)


def _reader(base: type, pictures: Pictures) -> Any:
    """Return an onnxruntime calibration reader of the pictures, eight at a time."""

    class Reader(base):  # type: ignore[misc]  # the base is onnxruntime's, loaded when asked for
        def __init__(self) -> None:
            self.batches = iter(np.array_split(pictures, max(1, len(pictures) // 8)))

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch}

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the quantiser prints and logs."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
