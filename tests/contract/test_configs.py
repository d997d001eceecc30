"""Every shipped YAML loads strictly, by the loader of its kind."""

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from spooflab.adapters import TrainJob
from spooflab.augment import load_profile
from spooflab.config import load_config, load_yaml
from spooflab.experiments.mining_config import MiningConfig
from spooflab.experiments.study_config import StudyConfig
from spooflab.generators.config import GenerationConfig
from spooflab.generators.diffusion.training.config import DiffusionTrainConfig
from spooflab.generators.instruments.makeup_bank import load_makeups
from spooflab.generators.instruments.mask_material import load_masks
from spooflab.generators.instruments.panel import load_panels
from spooflab.generators.instruments.paper import load_papers
from spooflab.generators.instruments.partial_bank import load_partials
from spooflab.generators.instruments.tattoo_bank import load_tattoos
from spooflab.generators.instruments.wig_bank import load_wigs

ROOT = Path(str(resources.files("spooflab.configs")))


def named(folder: str) -> list[Path]:
    return sorted((ROOT / folder).glob("*.yaml"))


@pytest.mark.parametrize("path", named("devices"), ids=lambda p: p.stem)
def test_devices(path: Path) -> None:
    assert load_profile(path).name == path.stem


@pytest.mark.parametrize("path", named("generation"), ids=lambda p: p.stem)
def test_generation(path: Path) -> None:
    assert load_config(path, GenerationConfig).n > 0


@pytest.mark.parametrize("path", named("studies"), ids=lambda p: p.stem)
def test_studies(path: Path) -> None:
    assert load_config(path, StudyConfig).algorithms


@pytest.mark.parametrize("path", named("mining"), ids=lambda p: p.stem)
def test_mining(path: Path) -> None:
    config = load_config(path, MiningConfig)
    assert len(config.seeds) >= 5


DIFFUSION = sorted((ROOT / "training").glob("diffusion_*.yaml"))


@pytest.mark.parametrize("path", [p for p in named("training") if p not in DIFFUSION], ids=lambda p: p.stem)
def test_training(path: Path) -> None:
    assert load_config(path, TrainJob).training.algorithm == path.stem


@pytest.mark.parametrize("path", DIFFUSION, ids=lambda p: p.stem)
def test_training_of_diffusion_models(path: Path) -> None:
    assert load_config(path, DiffusionTrainConfig).denoiser.steps > 0


def test_instruments() -> None:
    loaders: dict[str, Callable[[], object]] = {
        "makeups": load_makeups,
        "masks": load_masks,
        "panels": load_panels,
        "papers": load_papers,
        "partials": load_partials,
        "tattoos": load_tattoos,
        "wigs": load_wigs,
    }
    assert {path.stem for path in named("instruments")} == set(loaders)
    for load in loaders.values():
        load()


def test_no_yaml_lies_elsewhere() -> None:
    known = {
        path
        for folder in ("devices", "generation", "studies", "training", "instruments", "mining")
        for path in named(folder)
    }
    assert set(ROOT.rglob("*.yaml")) == known
    assert all(isinstance(load_yaml(path), dict) for path in known)
