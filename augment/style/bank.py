"""A bank of styles: the statistics of a folder of pictures, kept as one safetensors file."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from spooflab.augment.style.measure import measure
from spooflab.augment.style.statistics import StyleStatistics, impossible
from spooflab.bounded_decoder import decode_untrusted
from spooflab.errors import DataError, SkipSample

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_FORMAT = "spooflab style bank 1"


@dataclass(frozen=True)
class StyleBank:
    """Styles of N pictures.

    Attributes:
        statistics: N rows.
        pictures: names of the pictures, in the same order.
        refused: names of the files that were not read, each with the reason.
    """

    statistics: StyleStatistics
    pictures: tuple[str, ...]
    refused: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_folder(cls, folder: str | Path) -> "StyleBank":
        """Measure every JPEG, PNG, WebP and BMP in a folder, in the order of their names; subfolders are left out.

        Raises:
            DataError: no such folder, or none of its files is a picture that can be read.
        """
        root = Path(folder)
        if not root.is_dir():
            raise DataError(f"no folder {root}", wanted="a folder of target pictures")
        rows, pictures, refused = [], [], []
        for path in sorted(p for p in root.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file()):
            try:
                with path.open("rb") as file:
                    pixels = decode_untrusted(file)
            except SkipSample as refusal:
                refused.append((path.name, refusal.reason))
                continue
            rows.append(measure(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255))
            pictures.append(path.name)
        if not rows:
            why = f"{len(refused)} refused, the first {refused[0][0]}: {refused[0][1]}" if refused else "no such files"
            raise DataError(f"{root} has no picture that can be read ({why})", wanted=f"files {', '.join(_SUFFIXES)}")
        return cls(StyleStatistics.stack(rows), tuple(pictures), tuple(refused))

    def save(self, path: str | Path) -> None:
        """Write the bank as one safetensors file.

        Raises:
            DataError: the file cannot be written there.
        """
        tensors = {f.name: getattr(self.statistics, f.name).contiguous() for f in dataclasses.fields(StyleStatistics)}
        try:
            save_file(tensors, str(path), metadata={"format": _FORMAT, "pictures": json.dumps(self.pictures)})
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path} cannot be written: {error}", wanted="a path in an existing folder") from error

    @classmethod
    def load(cls, path: str | Path) -> "StyleBank":
        """Read what `save` wrote.

        Raises:
            DataError: no such file, or not a style bank.
        """
        try:
            with safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
            pictures = json.loads(metadata.get("pictures", "null"))
        except (OSError, SafetensorError, TypeError, ValueError, RecursionError) as error:
            raise DataError(f"{path} cannot be read: {error}", wanted="a file that StyleBank.save wrote") from error
        if not isinstance(pictures, list) or not all(isinstance(name, str) for name in pictures):
            raise DataError(
                f"{path} cannot be read: its pictures are no list of names", wanted="a file that StyleBank.save wrote"
            )
        shapes = _shapes(len(pictures))
        seen = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if metadata.get("format") != _FORMAT or seen != shapes or not pictures:
            raise DataError(f"{path}: {metadata.get('format')!r} with {seen}", wanted=f"{_FORMAT!r} with {shapes}")
        if not all(t.is_floating_point() and bool(torch.isfinite(t).all()) for t in tensors.values()):
            raise DataError(f"{path} holds NaN, infinity or integers", wanted="finite statistics")
        statistics = StyleStatistics(**tensors)
        if fault := impossible(statistics):
            raise DataError(f"{path}: {fault}", wanted="the statistics of pictures, as StyleBank.save wrote them")
        return cls(statistics, tuple(pictures))


def _shapes(count: int) -> dict[str, tuple[int, ...]]:
    cycles = StyleStatistics.CYCLES
    return {
        "amplitude": (count, 3, 2 * cycles + 1, cycles + 1),
        "lab_mean": (count, 3),
        "lab_std": (count, 3),
        "mean": (count, 3),
        "covariance": (count, 3, 3),
        "cdf": (count, 3, 256),
        "colours": (count, StyleStatistics.COLOURS, 3),
    }
