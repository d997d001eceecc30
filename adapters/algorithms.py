"""Every algorithm by the name that configurations use."""

from spooflab.adapters.adda import ADDA
from spooflab.adapters.afn import AFN
from spooflab.adapters.algorithm import Algorithm
from spooflab.adapters.atdoc import ATDOC
from spooflab.adapters.bnm import BNM
from spooflab.adapters.bsp import BSP
from spooflab.adapters.cdan import CDAN
from spooflab.adapters.cdann import CDANN
from spooflab.adapters.coral_target import CORALTarget
from spooflab.adapters.dan import DAN
from spooflab.adapters.dann import DANN
from spooflab.adapters.dann_target import DANNTarget
from spooflab.adapters.erm import ERM
from spooflab.adapters.jan import JAN
from spooflab.adapters.mcc import MCC
from spooflab.adapters.mcd import MCD
from spooflab.adapters.mixstyle import MixStyle
from spooflab.adapters.ohem import OHEM
from spooflab.adapters.swd import SWD

ALGORITHMS: dict[str, type[Algorithm]] = {
    "erm": ERM,
    "dann": DANN,
    "mixstyle": MixStyle,
    "ohem": OHEM,
    "cdann": CDANN,
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
