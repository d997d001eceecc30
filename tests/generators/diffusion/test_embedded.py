"""The model that comes with the package: small, whole, loaded by plain diffusers, and as good as its card says."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers")

from spooflab.generators.attacks.digital.swap_diffusion import SwapDiffusion
from spooflab.generators.attacks.masks.mask_controlnet import MaskControlNet
from spooflab.generators.config import GenerationConfig, ProceduralFacesConfig
from spooflab.generators.diffusion.config import EMBEDDED, DiffusionConfig
from spooflab.generators.diffusion.embedded import ADAPTER, EMBEDDED_FOLDER
from spooflab.generators.diffusion.model_folder import read_model_folder
from spooflab.generators.diffusion.training.evaluate import Figures, evaluate
from spooflab.generators.face import Face
from spooflab.generators.faces.procedural import ProceduralFaces
from spooflab.generators.lab import replay
from spooflab.generators.run import generate
from spooflab.images import decode_image
from spooflab.provenance import TRAINED_ALGORITHMIC_MEDIA
from spooflab.reader import read_index, read_row
from spooflab.seeds import generator

pytestmark = pytest.mark.slow  # together half a minute

MOST_BYTES = 40_000_000


@pytest.fixture(scope="module")
def faces() -> tuple[Face, Face]:
    source = ProceduralFaces(n_subjects=2, sessions=1, size=160, seed=12)
    first, second = (source.load(ref) for ref in source.refs())
    return first, second


def test_it_is_small_and_says_what_it_is() -> None:
    assert sum(path.stat().st_size for path in EMBEDDED_FOLDER.rglob("*") if path.is_file()) <= MOST_BYTES
    folder = read_model_folder(EMBEDDED_FOLDER)
    assert folder.licence == "apache-2.0"
    assert {part.name for part in folder.parts} >= {"unet", "vae", "text_encoder", "controlnet"}


def test_plain_diffusers_loads_and_paints_with_it() -> None:
    from diffusers import StableDiffusionControlNetInpaintPipeline

    pipeline = StableDiffusionControlNetInpaintPipeline.from_pretrained(
        EMBEDDED_FOLDER, local_files_only=True, dtype=torch.float32
    )
    pipeline.load_ip_adapter(
        str(EMBEDDED_FOLDER), subfolder="", weight_name=ADAPTER, image_encoder_folder=None, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(
        prompt="a photo of a face",
        image=torch.full((1, 3, 96, 96), 0.5),
        mask_image=torch.ones(1, 1, 96, 96),
        control_image=torch.zeros(1, 3, 96, 96),
        ip_adapter_image_embeds=[torch.zeros(2, 1, 128)],
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(0),
        height=96,
        width=96,
        output_type="pt",
    ).images
    assert made.shape == (1, 3, 96, 96)
    assert float(made.std()) > 0.02


def test_a_swap_and_a_mask_change_what_they_should(faces: tuple[Face, Face]) -> None:
    target, source = faces
    swap, mask = SwapDiffusion(), MaskControlNet(instruments=("generated_resin",))
    for attack in (swap, mask):
        made = attack.apply(target, source, attack.sample(1, generator(3, attack.species)))
        changed = made.face.spoof_mask
        assert changed is not None
        outside = (made.face.radiance - target.radiance).abs() * (changed == 0)
        assert float(outside.max()) == 0
        assert float(((made.face.radiance - target.radiance).abs() * changed).mean()) > 1e-3
        assert all(name.startswith(EMBEDDED) and "sha256:" in name for name in made.models)


def test_a_data_set_is_made_and_replayed_to_the_pixel(tmp_path: Path) -> None:
    config = GenerationConfig(
        n=8,
        seed=3,
        faces=(ProceduralFacesConfig(subjects=4, sessions=1),),
        attacks=("swap_diffusion", "mask_controlnet", "swap_diffusion+replay_phone"),
        bonafide_share=0.2,
        sensor_px=256,
        face_px=192,
        output_px=128,
        shard_size=4,
    )
    one, two = tmp_path / "one", tmp_path / "two"
    generate(config, one, workers=1)
    generate(config, two, workers=2)
    index, again = read_index(one), read_index(two)
    assert index.column("image_sha256").to_pylist() == again.column("image_sha256").to_pylist()
    made = [read_row(one, key) for key in index.column("key").to_pylist()]
    painted = [sample for sample in made if sample.label == "attack"]
    assert {sample.species for sample in painted} == set(config.attacks)
    for sample in painted:
        assert sample.digital_source_type == TRAINED_ALGORITHMIC_MEDIA
        assert any(name.startswith(EMBEDDED) for name in sample.model_ids)
        assert np.array_equal(decode_image(sample.image), replay(sample).image)


@pytest.fixture(scope="module")
def figures() -> Figures:
    return evaluate(DiffusionConfig(), people=18)


def test_it_does_what_its_card_says(figures: Figures) -> None:
    """On fewer people than the card's figures, so with some room below them."""
    assert figures.found >= 0.94
    assert figures.landmark_error <= 0.06
    assert figures.nearer_to_source >= 0.75
    assert figures.judged_nearer >= 0.75
    assert figures.nearer_without_identity <= 0.25
    assert figures.nearer_untouched <= 0.05
    assert figures.changed_outside <= 1
    assert figures.named >= 0.6
    assert figures.named_rendered >= 0.75
