"""Small networks, each as the transformers configuration that makes it."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "resnet-tiny": {
        "model_type": "resnet",
        "embedding_size": 16,
        "hidden_sizes": [16, 32, 64, 128],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
    },
    "resnet-small": {
        "model_type": "resnet",
        "embedding_size": 32,
        "hidden_sizes": [32, 64, 128, 256],
        "depths": [2, 2, 2, 2],
        "layer_type": "basic",
    },
    "convnext-tiny": {
        "model_type": "convnext",
        "hidden_sizes": [24, 48, 96, 192],
        "depths": [2, 2, 4, 2],
        "drop_path_rate": 0.05,
    },
    "vit-tiny": {
        "model_type": "vit",
        "hidden_size": 128,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "intermediate_size": 384,
        "patch_size": 16,
    },
}
"""Networks made from a transformers configuration and trained from scratch."""
