"""The bench of a Stable Diffusion's shape runs on any device; here on a miniature of it."""

import pytest
import torch

pytest.importorskip("diffusers")

from spooflab.experiments.bench.diffusion import shape_case
from spooflab.experiments.bench.diffusion_shapes import SD15, Shape


def test_the_shape_is_that_of_stable_diffusion() -> None:
    """859.5 M parameters and an inpainting input of 9 channels, as the released UNet counts them."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=64,
            in_channels=9,
            out_channels=4,
            down_block_types=(*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
            up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
            block_out_channels=SD15.unet,
            layers_per_block=SD15.layers,
            cross_attention_dim=SD15.text,
            attention_head_dim=8,
        )
    assert round(sum(p.numel() for p in unet.parameters()) / 1e6, 1) == 859.5


@pytest.mark.slow
def test_a_miniature_is_timed_against_plain_diffusers() -> None:
    tiny = Shape(unet=(16, 16), layers=1, vae=(8, 8, 8, 8), text=16, text_layers=1, text_heads=2, tokens=8)
    row = shape_case(tiny, torch.device("cpu"), size=32, batch=2)
    assert row["ours_per_s"] > 0
    assert row["peer_per_s"] > 0
    assert "diffusers" in row["peer"]
