"""Images kept in a study's folder are the data set's, each decoded once for all folds and processes."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from spooflab.adapters import ImageSet, image_set


def test_kept_images_are_the_decoded_ones_and_each_is_decoded_once(
    tmp_path: Path,
    indexed: Callable[..., pa.Table],
    stored: Callable[[Path, pa.Table], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = stored(tmp_path / "data", indexed(subjects=4, species=("bonafide", "print_a4")))
    plain = ImageSet.load(data, size=24)
    keys = list(plain.keys)
    decoded: list[int] = []
    decode = image_set.decode_image
    monkeypatch.setattr(image_set, "decode_image", lambda data: decoded.append(1) or decode(data))
    kept = tmp_path / "pixels"

    def load(wanted: list[str], size: int = 24) -> ImageSet:
        decoded.clear()
        return ImageSet.load(data, wanted, size, kept=kept)

    assert torch.equal(load(keys[:20]).images, plain.images[:20])
    assert len(decoded) == 20
    turned = load(keys[::-1])  # another order, and others besides
    assert torch.equal(turned.images, plain.images.flip(0))
    assert torch.equal(turned.labels, plain.labels.flip(0))
    assert len(decoded) == len(keys) - 20
    load(keys)
    assert not decoded
    load(keys, 16)
    assert len(decoded) == len(keys)
    monkeypatch.setattr(image_set, "FILE_BYTES", 7 * 3 * 16 * 16)  # a file's worth is seven pictures
    again = tmp_path / "small files"
    assert torch.equal(ImageSet.load(data, keys, 16, kept=again).images, load(keys, 16).images)
    assert len(list(again.rglob("*.safetensors"))) == -(-len(keys) // 7)

    file = sorted(kept.glob("*-24/*.safetensors"))[0]
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    assert torch.equal(load(keys).images, plain.images)
    assert len(decoded) in (20, len(keys) - 20)
