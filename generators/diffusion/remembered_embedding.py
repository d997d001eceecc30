"""A ControlNet's view of its condition, computed once for a picture and not at every step of denoising."""

import torch
from torch import Tensor, nn


class RememberedEmbedding(nn.Module):
    """Stands before a ControlNet's `controlnet_cond_embedding`, which depends on the condition alone, not on the step.

    The pipelines of diffusers pass the same tensor at each step, so the last one is told by its identity.

    Args:
        embedding: what embeds a condition; its weights may not change until `forget`.
    """

    def __init__(self, embedding: nn.Module) -> None:
        super().__init__()
        self.embedding = embedding
        self._last: tuple[Tensor, Tensor] | None = None

    # What is remembered would else be part of the compiled graph.
    @torch.compiler.disable  # type: ignore[untyped-decorator]  # torch leaves it untyped
    def forward(self, condition: Tensor) -> Tensor:
        """Return the embedding of `condition`, which may not be written to until `forget`."""
        if self._last is None or self._last[0] is not condition:
            self._last = (condition, self.embedding(condition))
        return self._last[1]

    def forget(self) -> None:
        """Let go of the last condition and of its embedding."""
        self._last = None
