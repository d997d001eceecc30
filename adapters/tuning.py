"""How much of a backbone learns: all of it, its later stages, nothing, or low-rank updates of its attention."""

from typing import Any

from torch import nn

from spooflab.adapters.backbones import Backbone
from spooflab.adapters.frozen_part import freeze_stages
from spooflab.adapters.train_config import BackboneConfig
from spooflab.errors import ConfigError

_QUERY_VALUE = ("q_proj", "v_proj", "query", "value")
"""What transformers calls the two projections of its vision towers, new names and old ones."""


def tune(backbone: Backbone, config: BackboneConfig) -> Backbone:
    """Freeze the backbone or its first stages, or put low-rank updates into it; changed in place and returned.

    `frozen` leaves a linear probe: the head, and what else an algorithm has of its own. `lora` (Hu et al. 2022) trains
    updates of rank r of the queries and values alone, scaled by α / r, as FoundPAD (Ozgur et al. 2025) does with CLIP;
    new weights come from torch's global generator.

    Raises:
        ConfigError: `lora` where nothing has queries and values, or without peft; stages that cannot be frozen.
    """
    if config.tuning == "full":
        if config.frozen_stages:
            freeze_stages(backbone, config.frozen_stages)
        return backbone
    backbone.requires_grad_(False)
    if config.tuning == "frozen":
        backbone.frozen = True
        backbone.eval()
    else:
        _add_updates(backbone.model, config)
    return backbone


def _add_updates(model: nn.Module, config: BackboneConfig) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError(f"tuning 'lora': {error}", next_step="pip install 'spooflab[adapt]'") from error
    targets = sorted({name.rsplit(".", 1)[-1] for name, _ in model.named_modules()} & set(_QUERY_VALUE))
    if not targets:
        raise ConfigError(
            f"tuning 'lora' of backbone {config.name!r}, which has no attention",
            wanted="a transformer, such as vit-tiny; or tuning 'full' or 'frozen'",
        )
    lora: Any = LoraConfig(
        r=config.lora_rank, lora_alpha=config.lora_alpha, lora_dropout=config.lora_dropout, target_modules=targets
    )
    inject_adapter_in_model(lora, model)  # which lets nothing but the updates learn
