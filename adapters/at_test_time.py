"""Every method that adapts a trained model while it scores, by the name that configurations use."""

from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from spooflab.adapters.adabn import AdaBN
from spooflab.adapters.algorithm import Algorithm, Setting
from spooflab.adapters.image_set import ImageSet
from spooflab.adapters.t3a import T3A
from spooflab.adapters.tent import Tent


class AtTestTime(Protocol):
    """What such a method is: hyper-parameters in the constructor, a function of model and images.

    Attributes:
        setting: `test_time`, always: figures are never put beside those of methods that see no target.
        online: whether scores depend on the order of the images.
        SEARCH: hyper-parameter → (low, high, `log` or `linear`).
    """

    setting: ClassVar[Setting]
    online: ClassVar[bool]
    SEARCH: ClassVar[dict[str, tuple[float, float, str]]]

    def scores(self, model: Algorithm, images: ImageSet) -> npt.NDArray[np.float64]:
        """Return bona fide likelihoods (N,) in the images' order, from the images alone; `model` stays as it is."""
        ...


TEST_TIME: dict[str, type[AtTestTime]] = {"tent": Tent, "t3a": T3A, "adabn": AdaBN}
