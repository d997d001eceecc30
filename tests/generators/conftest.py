"""An accelerator that is none: tensors that claim to lie on a CUDA device and are computed by the CPU."""

import traceback
from collections.abc import Iterator
from typing import Any, Self

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
DEVICE = torch.device("cuda:0")
_MOVES = (aten._to_copy.default, aten.copy_.default)
_READS = (
    aten._local_scalar_dense.default, aten.is_nonzero.default, aten.equal.default, aten.nonzero.default,
    aten.masked_select.default, aten.unique_consecutive.default, aten._unique2.default,
    aten._linalg_check_errors.default,
)  # fmt: skip


class OnDevice(Tensor):
    """A tensor that says that it lies on `DEVICE`; its numbers are those of `held`, on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Self:
        self: Self = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        self.held = held
        return self

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} outside of the accelerator")

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnDevice({tuple(self.shape)}, {self.dtype})"


class Accelerator(TorchDispatchMode):
    """While it is entered, "cuda:0" works. Mixing it with the CPU is an error, reading from it is noted.

    Attributes:
        reads: where the host waited for a number, as "file:line: code", innermost of our own lines.
    """

    _mode_key = torch._C._TorchDispatchModeKey.FAKE  # else torch looks for a driver

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    def __enter__(self) -> Self:
        self._lifts = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)
        torch._C._ensureCUDADeviceGuardSet()
        self._cudnn = torch._C._get_cudnn_enabled()
        torch._C._set_cudnn_enabled(False)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        torch._C._set_only_lift_cpu_tensors(self._lifts)
        torch._C._set_cudnn_enabled(self._cudnn)
        super().__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd):
            with self:  # inference mode hands over whole compositions
                return func.decompose(*args, **kwargs)
        tensors = list(_tensors((args, tuple(kwargs.values()))))
        ours = [value for value in tensors if isinstance(value, OnDevice)]
        if ours and func not in _MOVES and any(t.ndim for t in tensors if not isinstance(t, OnDevice)):
            raise RuntimeError(f"{func} mixes devices")
        target = kwargs.get("device")
        here = bool(ours) if target is None else torch.device(target).type == DEVICE.type
        if func is aten.copy_.default:
            here = isinstance(args[0], OnDevice)
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        picks = func is aten.index.Tensor and any(i is not None and i.dtype == torch.bool for i in args[1])
        if ours and (func in _READS or picks or (func in _MOVES and not here)):
            self.reads.append(_our_line())
        held = {id(value.held): value for value in ours}
        out = func(*home(args), **{name: home(value) for name, value in kwargs.items()})
        if not here or func is aten._local_scalar_dense.default:
            return out
        if func is aten._to_copy.default and not ours:
            out = out.clone()

        def wrapped(value: Any) -> Any:
            if isinstance(value, tuple | list):
                return type(value)(wrapped(one) for one in value)
            if not isinstance(value, Tensor):
                return value
            return held[id(value)] if id(value) in held else OnDevice(value)

        with torch.inference_mode(torch.is_inference_mode_enabled() and all(t.is_inference() for t in ours)):
            return wrapped(out)


def home(value: Any) -> Any:
    """Return tensors, in tuples and lists too, with the numbers of an accelerator's."""
    if isinstance(value, tuple | list):
        return type(value)(home(one) for one in value)
    return value.held if isinstance(value, OnDevice) else value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _tensors(one)


def _our_line() -> str:
    ours = [f for f in traceback.extract_stack() if "/spooflab/" in f.filename]
    return f"{ours[-1].filename.rpartition('/spooflab/')[2]}:{ours[-1].lineno}: {ours[-1].line}" if ours else "the test"


@pytest.fixture
def accelerator() -> Iterator[Accelerator]:
    """A fresh accelerator; constants that it made do not stay in caches."""
    from spooflab.augment import jpeg_tables, jpeg_transform
    from spooflab.generators import constant, hashed, lattice, scene_hand_batch, scene_skin, smooth_map
    from spooflab.generators.attacks.replays import codec

    # Other tests pretend to have a device, too.
    shared = (jpeg_tables._base, jpeg_transform._matrix)
    for cached in shared:
        cached.cache_clear()
    yield Accelerator()
    for cached in (
        *shared, smooth_map._to_pixels, smooth_map._to_points, smooth_map._splines, lattice._linear, codec._cosines,
        hashed._places, constant.constant, scene_skin._skin_tile, scene_hand_batch._from_nodes,
        scene_hand_batch._to_pixels,
    ):  # fmt: skip
        cached.cache_clear()
