"""Every algorithm by the name that configurations use."""

from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.crossnorm import CrossNorm
from spooflab.adapters.dann import DANN
from spooflab.adapters.dsu import DSU
from spooflab.adapters.efdmix import EFDMix
from spooflab.adapters.erm import ERM
from spooflab.adapters.fourier_mix import FourierMix
from spooflab.adapters.mixstyle import MixStyle
from spooflab.adapters.mixup import Mixup
from spooflab.adapters.ohem import OHEM

ALGORITHMS: dict[str, type[Algorithm]] = {
    "erm": ERM,
    "dann": DANN,
    "mixstyle": MixStyle,
    "ohem": OHEM,
    "efdmix": EFDMix,
    "dsu": DSU,
    "crossnorm": CrossNorm,
    "fourier_mix": FourierMix,
    "mixup": Mixup,
}
