"""T3A: class prototypes adjusted by the test images that the classifier is surest of."""

import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from spooflab.adapters.algorithm import Algorithm, Setting
from spooflab.adapters.image_set import ImageSet
from spooflab.adapters.scoring import even_batches
from spooflab.adapters.tent import entropy
from spooflab.errors import ConfigError


@dataclass(frozen=True)
class T3A:
    """Online test-time templates (Iwasawa and Matsuo 2021).

    Each class has a support set, at first its row of the classifier's weights, of length 1. For each batch in order,
    every image's feature z, of length 1, joins the set of the class that the classifier gives it; the sets keep their
    `keep` members of lowest predictive entropy; then the batch is scored by the softmax of z · c_k with z unscaled and
    c_k the mean of set k. The classifier's offset takes no part. The network itself does not change. Scores depend
    on the order of the images, and on `batch_size` since a batch joins before it is scored; the paper's batch is 1.
    The boundary moves only while both classes are predicted: where the shift puts all images into one class, the
    other's set keeps the classifier's row alone, and T3A has no way back.

    Attributes:
        keep: M, members that a set keeps; None keeps all. The paper chooses among 1, 5, 20, 50, 100 and all.
        normalise: whether c_k is scaled to length 1, as in the authors' code; the paper's formula leaves the mean.
        batch_size: most images in a batch; batches are of even length.
    """

    setting: ClassVar[Setting] = "test_time"
    online: ClassVar[bool] = True
    SEARCH: ClassVar[dict[str, tuple[float, float, str]]] = {"keep": (1, 100, "log")}

    keep: int | None = 20
    normalise: bool = True
    batch_size: int = 64

    def __post_init__(self) -> None:
        if (self.keep is not None and self.keep < 1) or self.batch_size < 1:
            raise ConfigError(
                f"t3a: keep {self.keep}, batch_size {self.batch_size}", wanted="keep ≥ 1 or None, batch_size ≥ 1"
            )

    @torch.inference_mode()
    def scores(self, model: Algorithm, images: ImageSet) -> npt.NDArray[np.float64]:
        """Return bona fide likelihoods (N,) in the images' order; `model` stays as it is.

        Raises:
            ConfigError: the algorithm's predictions are not those of one linear classifier.
        """
        if type(model).logits is not Algorithm.logits or not model.scores_by_class:
            raise ConfigError(f"t3a: {type(model).__name__} does not predict with one linear head", wanted="one")
        own = copy.deepcopy(model).eval()
        weights = own.head.weight
        supports, spread = [F.normalize(weights).cpu().double()], [entropy(own.head(weights)).cpu().double()]
        members = [torch.arange(len(weights))]
        parts = []
        for batch in even_batches(images, self.batch_size, weights.device):
            features = own.backbone(batch)
            logits = own.head(features)
            supports.append(F.normalize(features).cpu().double())
            spread.append(entropy(logits).cpu().double())
            members.append(logits.argmax(1).cpu())
            kept = self._kept(torch.cat(spread), torch.cat(members))
            supports, spread, members = ([torch.cat(x)[kept]] for x in (supports, spread, members))
            prototypes = torch.stack([supports[0][members[0] == k].mean(0) for k in range(len(weights))])
            if self.normalise:
                prototypes = F.normalize(prototypes)
            parts.append(torch.sigmoid((features.cpu().double() @ prototypes.T).diff(dim=1)[:, 0]))
        return torch.cat(parts).numpy() if parts else np.empty(0)

    def _kept(self, spread: Tensor, members: Tensor) -> Tensor:
        """Return the positions of each class's members of lowest entropy, ties to the earlier."""
        rows = []
        for k in range(int(members.max()) + 1):
            mine = torch.nonzero(members == k)[:, 0]
            rows.append(mine[spread[mine].argsort(stable=True)[: self.keep]])
        return torch.cat(rows)
