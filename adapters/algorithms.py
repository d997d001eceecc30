"""Every algorithm by the name that configurations use."""

from spooflab.adapters.ada import ADA
from spooflab.adapters.adda import ADDA
from spooflab.adapters.afn import AFN
from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.atdoc import ATDOC
from spooflab.adapters.augmax import AugMax
from spooflab.adapters.bnm import BNM
from spooflab.adapters.bsp import BSP
from spooflab.adapters.cdan import CDAN
from spooflab.adapters.cdann import CDANN
from spooflab.adapters.coral import CORAL
from spooflab.adapters.coral_target import CORALTarget
from spooflab.adapters.crossnorm import CrossNorm
from spooflab.adapters.dan import DAN
from spooflab.adapters.dann import DANN
from spooflab.adapters.dann_target import DANNTarget
from spooflab.adapters.dsu import DSU
from spooflab.adapters.efdmix import EFDMix
from spooflab.adapters.erm import ERM
from spooflab.adapters.fish import Fish
from spooflab.adapters.fishr import Fishr
from spooflab.adapters.fourier_mix import FourierMix
from spooflab.adapters.gacfas import GACFAS
from spooflab.adapters.groupdro import GroupDRO
from spooflab.adapters.ib_erm import IBERM
from spooflab.adapters.irm import IRM
from spooflab.adapters.jan import JAN
from spooflab.adapters.mcc import MCC
from spooflab.adapters.mcd import MCD
from spooflab.adapters.mixstyle import MixStyle
from spooflab.adapters.mixup import Mixup
from spooflab.adapters.mldg import MLDG
from spooflab.adapters.mmd import MMD
from spooflab.adapters.ohem import OHEM
from spooflab.adapters.rsc import RSC
from spooflab.adapters.safas import SAFAS
from spooflab.adapters.sagnet import SagNet
from spooflab.adapters.sam import SAM
from spooflab.adapters.sd import SD
from spooflab.adapters.ssdg import SSDG
from spooflab.adapters.swd import SWD
from spooflab.adapters.vrex import VREx
from spooflab.adapters.xbm import XBM

ALGORITHMS: dict[str, type[Algorithm]] = {
    "erm": ERM,
    "dann": DANN,
    "mixstyle": MixStyle,
    "ohem": OHEM,
    "xbm": XBM,
    "efdmix": EFDMix,
    "dsu": DSU,
    "crossnorm": CrossNorm,
    "fourier_mix": FourierMix,
    "mixup": Mixup,
    "rsc": RSC,
    "sagnet": SagNet,
    "mldg": MLDG,
    "ssdg": SSDG,
    "safas": SAFAS,
    "gacfas": GACFAS,
    "irm": IRM,
    "vrex": VREx,
    "groupdro": GroupDRO,
    "coral": CORAL,
    "mmd": MMD,
    "fish": Fish,
    "fishr": Fishr,
    "sd": SD,
    "ib_erm": IBERM,
    "sam": SAM,
    "cdann": CDANN,
    "ada": ADA,
    "augmax": AugMax,
    "cdan": CDAN,
    "dann_target": DANNTarget,
    "adda": ADDA,
    "mcd": MCD,
    "dan": DAN,
    "jan": JAN,
    "coral_target": CORALTarget,
    "mcc": MCC,
    "bnm": BNM,
    "afn": AFN,
    "bsp": BSP,
    "atdoc": ATDOC,
    "swd": SWD,
}
