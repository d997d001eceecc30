"""Learning algorithms, backbones and the trainer."""

from spooflab.adapters.ada import ADA
from spooflab.adapters.adabn import AdaBN
from spooflab.adapters.adda import ADDA
from spooflab.adapters.afn import AFN
from spooflab.adapters.algorithm import Algorithm, Engine
from spooflab.adapters.algorithms import ALGORITHMS
from spooflab.adapters.at_test_time import TEST_TIME, AtTestTime
from spooflab.adapters.atdoc import ATDOC
from spooflab.adapters.augmax import AugMax
from spooflab.adapters.backbones import Backbone
from spooflab.adapters.balanced_sampler import BalancedSampler
from spooflab.adapters.batch import ATTACK, BONAFIDE, Batch
from spooflab.adapters.bnm import BNM
from spooflab.adapters.bsp import BSP
from spooflab.adapters.cdan import CDAN
from spooflab.adapters.cdann import CDANN
from spooflab.adapters.class_loss import ClassLoss, ClassLossConfig
from spooflab.adapters.coral import CORAL
from spooflab.adapters.coral_target import CORALTarget
from spooflab.adapters.crossnorm import CrossNorm
from spooflab.adapters.dan import DAN
from spooflab.adapters.dann import DANN
from spooflab.adapters.dann_target import DANNTarget
from spooflab.adapters.dsu import DSU
from spooflab.adapters.efdmix import EFDMix
from spooflab.adapters.erm import ERM
from spooflab.adapters.feature_cache import FeatureCache
from spooflab.adapters.fish import Fish
from spooflab.adapters.fishr import Fishr
from spooflab.adapters.fourier_mix import FourierMix
from spooflab.adapters.gacfas import GACFAS
from spooflab.adapters.groupdro import GroupDRO
from spooflab.adapters.ib_erm import IBERM
from spooflab.adapters.image_set import ImageSet, Unlabelled
from spooflab.adapters.irm import IRM
from spooflab.adapters.jan import JAN
from spooflab.adapters.mcc import MCC
from spooflab.adapters.mcd import MCD
from spooflab.adapters.mixstyle import MixStyle
from spooflab.adapters.mixup import Mixup
from spooflab.adapters.mldg import MLDG
from spooflab.adapters.mmd import MMD
from spooflab.adapters.model_files import load_model
from spooflab.adapters.ohem import OHEM
from spooflab.adapters.pixel_head import PixelConfig
from spooflab.adapters.presets import PRESETS
from spooflab.adapters.rsc import RSC
from spooflab.adapters.safas import SAFAS
from spooflab.adapters.sagnet import SagNet
from spooflab.adapters.sam import SAM
from spooflab.adapters.scoring import predict_scores
from spooflab.adapters.sd import SD
from spooflab.adapters.ssdg import SSDG
from spooflab.adapters.swd import SWD
from spooflab.adapters.t3a import T3A
from spooflab.adapters.tent import Tent
from spooflab.adapters.train_config import AugmentConfig, BackboneConfig, TrainConfig
from spooflab.adapters.train_job import TrainJob, train
from spooflab.adapters.trainer import FitResult, fit
from spooflab.adapters.vrex import VREx
from spooflab.adapters.xbm import XBM

__all__ = [
    "ADA",
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
    "CORAL",
    "DAN",
    "DANN",
    "DSU",
    "ERM",
    "GACFAS",
    "IBERM",
    "IRM",
    "JAN",
    "MCC",
    "MCD",
    "MLDG",
    "MMD",
    "OHEM",
    "PRESETS",
    "RSC",
    "SAFAS",
    "SAM",
    "SD",
    "SSDG",
    "SWD",
    "T3A",
    "TEST_TIME",
    "XBM",
    "AdaBN",
    "Algorithm",
    "AtTestTime",
    "AugMax",
    "AugmentConfig",
    "Backbone",
    "BackboneConfig",
    "BalancedSampler",
    "Batch",
    "CORALTarget",
    "ClassLoss",
    "ClassLossConfig",
    "CrossNorm",
    "DANNTarget",
    "EFDMix",
    "Engine",
    "FeatureCache",
    "Fish",
    "Fishr",
    "FitResult",
    "FourierMix",
    "GroupDRO",
    "ImageSet",
    "MixStyle",
    "Mixup",
    "PixelConfig",
    "SagNet",
    "Tent",
    "TrainConfig",
    "TrainJob",
    "Unlabelled",
    "VREx",
    "fit",
    "load_model",
    "predict_scores",
    "train",
]
