"""`spooflab replay`: render one sample again from its record alone, and compare."""

import json as json_module
import sys
from pathlib import Path

import tyro

from spooflab.cli.place import Place


def replay(directory: tyro.conf.Positional[Place], /, *, key: str, out: Path, json: bool = False) -> int:
    """Render a sample again from its record and say whether the pixels are identical to the stored ones.

    Args:
        directory: folder or URL of the data set.
        key: the sample's key.
        out: PNG file to write.
        json: print the comparison as JSON.
    """
    import numpy as np
    import torch

    from spooflab.generators.lab import replay as render
    from spooflab.images import decode_image, encode_png
    from spooflab.source_mark import mark_source
    from spooflab.store import read_row

    torch.set_num_threads(1)
    sample = read_row(directory, key)
    picture = render(sample)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(mark_source(encode_png(picture.image), sample.digital_source_type))
    stored = decode_image(sample.image)
    same = stored.shape == picture.image.shape and bool(np.array_equal(stored, picture.image))
    worst = (
        int(np.abs(stored.astype(int) - picture.image.astype(int)).max()) if stored.shape == picture.image.shape else -1
    )
    if json:
        result = {"key": key, "species": sample.species, "identical": same, "max_difference": worst, "out": str(out)}
        sys.stdout.write(json_module.dumps(result) + "\n")
    else:
        verdict = (
            "identical to the stored pixels" if same else f"DIFFERS from the stored pixels by up to {worst} levels"
        )
        sys.stdout.write(f"{key} ({sample.species}): {verdict}; wrote {out}\n")
    return 0 if same else 1
