"""Learning algorithms, backbones and the trainer."""

from spooflab.adapters.adabn import AdaBN
from spooflab.adapters.adda import ADDA
from spooflab.adapters.afn import AFN
from spooflab.adapters.algorithm import Algorithm, Engine
from spooflab.adapters.algorithms import ALGORITHMS
from spooflab.adapters.at_test_time import TEST_TIME, AtTestTime
from spooflab.adapters.atdoc import ATDOC
from spooflab.adapters.backbones import PRESETS, Backbone
from spooflab.adapters.balanced_sampler import BalancedSampler
from spooflab.adapters.batch import ATTACK, BONAFIDE, Batch
from spooflab.adapters.bnm import BNM
from spooflab.adapters.bsp import BSP
from spooflab.adapters.cdan import CDAN
from spooflab.adapters.cdann import CDANN
from spooflab.adapters.coral_target import CORALTarget
from spooflab.adapters.dan import DAN
from spooflab.adapters.dann import DANN
from spooflab.adapters.dann_target import DANNTarget
from spooflab.adapters.erm import ERM
from spooflab.adapters.image_set import ImageSet, Unlabelled
from spooflab.adapters.jan import JAN
from spooflab.adapters.mcc import MCC
from spooflab.adapters.mcd import MCD
from spooflab.adapters.mixstyle import MixStyle
from spooflab.adapters.model_files import load_model
from spooflab.adapters.ohem import OHEM
from spooflab.adapters.scoring import predict_scores
from spooflab.adapters.swd import SWD
from spooflab.adapters.t3a import T3A
from spooflab.adapters.tent import Tent
from spooflab.adapters.train_config import AugmentConfig, BackboneConfig, TrainConfig
from spooflab.adapters.train_job import TrainJob, train
from spooflab.adapters.trainer import FitResult, fit

__all__ = [
    "ADDA",
    "AFN",
    "ALGORITHMS",
    "ATDOC",
    "ATTACK",
    "BNM",
    "BONAFIDE",
    "BSP",
    "CDAN",
    "CDANN",
    "DAN",
    "DANN",
    "ERM",
    "JAN",
    "MCC",
    "MCD",
    "OHEM",
    "PRESETS",
    "SWD",
    "T3A",
    "TEST_TIME",
    "AdaBN",
    "Algorithm",
    "AtTestTime",
    "AugmentConfig",
    "Backbone",
    "BackboneConfig",
    "BalancedSampler",
    "Batch",
    "CORALTarget",
    "DANNTarget",
    "Engine",
    "FitResult",
    "ImageSet",
    "MixStyle",
    "Tent",
    "TrainConfig",
    "TrainJob",
    "Unlabelled",
    "fit",
    "load_model",
    "predict_scores",
    "train",
]
