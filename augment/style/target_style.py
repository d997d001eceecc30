"""Give each photograph of a batch the style of another picture of a bank."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from spooflab.augment.photograph import from_photograph, to_photograph
from spooflab.augment.style.amplitude import AmplitudeMix
from spooflab.augment.style.bank import StyleBank
from spooflab.augment.style.histogram import HistogramMatch
from spooflab.augment.style.reinhard import ReinhardTransfer
from spooflab.augment.style.sliced_transport import SlicedTransport
from spooflab.augment.style.statistics import StyleStatistics
from spooflab.augment.style.transport import LinearTransport
from spooflab.errors import ConfigError
from spooflab.params import Params, choice, uniform


@dataclass(frozen=True)
class StyleParams(Params):
    """What was drawn for each picture.

    Attributes:
        picked: (B,) int64 row of the bank.
        method: (B,) int64 position in `TargetStyle.methods`.
        weight: (B,) share of the style, [0, 1].
        seed: (B,) int64, of the method's own draws.
    """

    picked: Tensor
    method: Tensor
    weight: Tensor
    seed: Tensor


class TargetStyle(nn.Module):
    """Unpaired style transfer to the pictures of a folder, without a network.

    Args:
        target: a folder of pictures, the safetensors file of a bank, or a bank.
        methods: what is chosen from, with equal probability; by default amplitude mix, Reinhard, histogram matching,
            linear and sliced optimal transport.
        weight: range that the share of the style is drawn from, within [0, 1].

    >>> style = TargetStyle("targets/")  # doctest: +SKIP
    >>> styled = style(photos, generator=torch.Generator().manual_seed(1))  # doctest: +SKIP
    """

    def __init__(
        self,
        target: str | Path | StyleBank,
        *,
        methods: Sequence[nn.Module] | None = None,
        weight: tuple[float, float] = (0.5, 1.0),
    ) -> None:
        super().__init__()
        if not 0 <= weight[0] <= weight[1] <= 1:
            raise ConfigError(f"weight: {weight}", wanted="low <= high, within [0, 1]")
        bank = target if isinstance(target, StyleBank) else _bank(Path(target))
        self.pictures, self.weight = bank.pictures, weight
        for field in dataclasses.fields(StyleStatistics):
            self.register_buffer(f"style_{field.name}", getattr(bank.statistics, field.name))
        every = (AmplitudeMix(), ReinhardTransfer(), HistogramMatch(), LinearTransport(), SlicedTransport())
        self.methods = nn.ModuleList(every if methods is None else methods)
        if not len(self.methods):
            raise ConfigError("TargetStyle without methods", wanted="at least one")

    def sample(self, batch_size: int, generator: torch.Generator) -> StyleParams:
        """Draw styles for `batch_size` pictures on the CPU; row i does not depend on the batch size."""
        rows = [self._draw(generator) for _ in range(batch_size)]
        return StyleParams.stack(rows)

    def apply_style(self, x: Tensor, params: StyleParams) -> Tensor:
        """Return (B, 3, H, W), float32 sRGB in [0, 1], in the drawn styles; deterministic, clipped to [0, 1]."""
        with torch.autocast(x.device.type, enabled=False):
            out = torch.empty_like(x)
            for row in range(len(x)):  # one by one: libraries order their sums by the batch
                drawn = params.row(row)
                method, style = self.methods[int(drawn.method)], self._style(drawn.picked.to(x.device))
                out[row] = method(x[row : row + 1], style, drawn.weight.to(x.device), drawn.seed)[0]
            return out.clamp_(0, 1)

    def forward(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """Return photographs (B, 3, H, W), uint8 or floating point in [0, 1], each in a style of its own; same type."""
        photos = from_photograph(x)
        return to_photograph(self.apply_style(photos, self.sample(len(x), generator)), x.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the statistics with the module, and keep their types: `.bfloat16()` is meant for a network."""
        names = [f"style_{field.name}" for field in dataclasses.fields(StyleStatistics)]
        kept = {name: getattr(self, name) for name in names}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in kept.items():
            moved = getattr(self, name)
            if moved.dtype != value.dtype:
                setattr(self, name, value.to(moved.device))
        return self

    def _draw(self, generator: torch.Generator) -> StyleParams:
        return StyleParams(
            picked=choice(1, len(self.pictures), generator),
            method=choice(1, len(self.methods), generator),
            weight=uniform(1, *self.weight, generator),
            seed=choice(1, 2**62, generator),
        )

    def _style(self, picked: Tensor) -> StyleStatistics:
        names = [field.name for field in dataclasses.fields(StyleStatistics)]
        return StyleStatistics(**{name: getattr(self, f"style_{name}").index_select(0, picked) for name in names})


def _bank(path: Path) -> StyleBank:
    return StyleBank.load(path) if path.is_file() else StyleBank.from_folder(path)
