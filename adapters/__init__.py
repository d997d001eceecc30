"""Learning algorithms, backbones and the trainer."""

from spooflab.adapters.algorithm import Algorithm, Engine
from spooflab.adapters.algorithms import ALGORITHMS
from spooflab.adapters.backbones import PRESETS, Backbone
from spooflab.adapters.balanced_sampler import BalancedSampler
from spooflab.adapters.batch import ATTACK, BONAFIDE, Batch
from spooflab.adapters.coral import CORAL
from spooflab.adapters.dann import DANN
from spooflab.adapters.erm import ERM
from spooflab.adapters.fish import Fish
from spooflab.adapters.fishr import Fishr
from spooflab.adapters.groupdro import GroupDRO
from spooflab.adapters.ib_erm import IBERM
from spooflab.adapters.image_set import ImageSet
from spooflab.adapters.irm import IRM
from spooflab.adapters.mixstyle import MixStyle
from spooflab.adapters.mmd import MMD
from spooflab.adapters.model_files import load_model
from spooflab.adapters.ohem import OHEM
from spooflab.adapters.sam import SAM
from spooflab.adapters.scoring import predict_scores
from spooflab.adapters.sd import SD
from spooflab.adapters.train_config import AugmentConfig, BackboneConfig, TrainConfig
from spooflab.adapters.train_job import TrainJob, train
from spooflab.adapters.trainer import FitResult, fit
from spooflab.adapters.vrex import VREx

__all__ = [
    "ALGORITHMS",
    "ATTACK",
    "BONAFIDE",
    "CORAL",
    "DANN",
    "ERM",
    "IBERM",
    "IRM",
    "MMD",
    "OHEM",
    "PRESETS",
    "SAM",
    "SD",
    "Algorithm",
    "AugmentConfig",
    "Backbone",
    "BackboneConfig",
    "BalancedSampler",
    "Batch",
    "Engine",
    "Fish",
    "Fishr",
    "FitResult",
    "GroupDRO",
    "ImageSet",
    "MixStyle",
    "TrainConfig",
    "TrainJob",
    "VREx",
    "fit",
    "load_model",
    "predict_scores",
    "train",
]
