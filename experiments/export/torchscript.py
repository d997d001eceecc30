"""A detector as TorchScript: traced, without the notes about this machine, the same bytes each time."""

import io
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from spooflab.errors import ConfigError
from spooflab.experiments.export.detector import Detector

_jit: Any = torch.jit  # half of it is untyped


def to_torchscript(detector: Detector) -> bytes:
    """Return the detector traced (`torch.jit.trace`) for batches of any size; parity tells whether that holds.

    Raises:
        ConfigError: the network cannot be traced.
    """
    buffer = io.BytesIO()
    try:
        with _expected_warnings(), torch.no_grad():
            # The tracer's own check runs the network again on the same batch; ours runs it on others.
            traced: Any = _jit.trace(detector, (detector.example(),), check_trace=False)
            _jit.save(traced, buffer)
    except Exception as error:  # the tracer raises many kinds, all about this network
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"torch cannot trace this network: {told[0]}", next_step="try --format onnx") from error
    return _without_source_notes(buffer.getvalue())


def load_torchscript(data: bytes) -> Any:
    """Return the module of an archive that is trusted: loading one runs the code in it."""
    with _expected_warnings():
        return _jit.load(io.BytesIO(data), map_location="cpu")


def _without_source_notes(archive: bytes) -> bytes:
    """Drop the debug entries, which name the files of this machine; nothing else of the archive changes."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as kept:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                kept.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
    return out.getvalue()


@contextmanager
def _expected_warnings() -> Iterator[None]:
    """Hold back what is known of tracing: that torch prefers `torch.export`, and that sizes were read as numbers."""
    with warnings.catch_warnings():
        for name in ("torch.jit.", "is_gradient_checkpointing"):
            warnings.filterwarnings("ignore", message=rf"`{name}.* is deprecated", category=Warning)
        warnings.filterwarnings("ignore", category=_jit.TracerWarning)
        yield
