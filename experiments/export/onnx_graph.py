"""A detector as ONNX: exported by torch, stripped of what is not the model, checked, the same bytes each time."""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import torch

from spooflab.errors import ConfigError
from spooflab.experiments.export.detector import INPUT, OUTPUTS, Detector

OPSET = 18
"""The lowest that torch's exporter writes without conversion: most runtimes read it."""

_LARGEST_BYTES = 2**31 - 2**20
_LARGEST_VALUE = 4096


def load_onnx() -> ModuleType:
    """Return the package `onnx`.

    Raises:
        ConfigError: it, or what torch exports with, is not installed.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            import_module(name)
        except ImportError as error:
            raise ConfigError(f"export to ONNX: {error}", next_step="pip install 'spooflab[export]'") from error
    return import_module("onnx")


def to_onnx(detector: Detector) -> bytes:
    """Return the detector as an ONNX model with its weights inside, for batches of any size.

    Raises:
        ConfigError: a package is missing, or the network cannot be exported faithfully; the message says why.
    """
    onnx = load_onnx()
    try:
        with torch.no_grad():
            program = torch.onnx.export(
                detector,
                (detector.example(),),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                dynamic_shapes={INPUT: {0: torch.export.Dim("batch", min=1)}},
                verbose=False,
            )
    except Exception as error:  # torch.onnx and torch.export raise many kinds, all about this network
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(
            f"torch cannot export this network to ONNX: {told[0]}", next_step="try --format torchscript"
        ) from error
    assert program is not None  # `dynamo=True` returns one
    model: Any = program.model_proto
    _strip(model)
    _require_free_batch(model)
    if model.ByteSize() > _LARGEST_BYTES:
        raise ConfigError(f"{model.ByteSize()} bytes", wanted="less than 2 GiB, the most that one ONNX file holds")
    onnx.checker.check_model(model, full_check=True)
    return serialised(model)


def with_facts(data: bytes, facts: Mapping[str, str]) -> bytes:
    """Return the model with `facts` in its `metadata_props`, each cut at 4096 characters; others are dropped."""
    onnx = load_onnx()
    model = onnx.load_model_from_string(data)
    del model.metadata_props[:]
    for name in sorted(facts):
        model.metadata_props.add(key=name, value=facts[name][:_LARGEST_VALUE])
    return serialised(model)


def serialised(model: Any) -> bytes:
    """Return a model's bytes: the same for the same model."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _strip(model: Any) -> None:
    """Drop what the exporter notes about this machine: stack traces name its folders."""
    graph = model.graph
    del model.metadata_props[:]
    for entry in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        del entry.metadata_props[:]
        entry.doc_string = ""
    model.doc_string = ""


def _require_free_batch(model: Any) -> None:
    """Refuse a graph in which a number of pictures got fixed: torch does that without a word."""
    for port in (*model.graph.input, *model.graph.output):
        if not port.type.tensor_type.shape.dim[0].dim_param:
            raise ConfigError(
                f"{port.name}: the exporter fixed the batch at {port.type.tensor_type.shape.dim[0].dim_value}",
                wanted="a network whose code does not turn the batch's size into a Python number",
                next_step="try --format torchscript",
            )
