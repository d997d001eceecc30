"""Speed of ours and of named peers, measured in turn in one run, and the memory of a long one."""

from spooflab.experiments.bench.attacks import attack_cases
from spooflab.experiments.bench.augment import augment_cases
from spooflab.experiments.bench.cache import cache_cases
from spooflab.experiments.bench.diffusion import diffusion_cases
from spooflab.experiments.bench.faces import face_cases
from spooflab.experiments.bench.gpu import gpu_cases
from spooflab.experiments.bench.study import study_cases
from spooflab.experiments.bench.train import train_cases

SUITES = {
    "faces": face_cases,
    "attacks": attack_cases,
    "augment": augment_cases,
    "train": train_cases,
    "cache": cache_cases,
    "diffusion": diffusion_cases,
    "gpu": gpu_cases,
    "study": study_cases,
}
"""Suite name to a function of the thread count that returns rows."""
