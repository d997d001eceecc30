from spooflab.experiments.realism.compare import Comparison, compare
from spooflab.experiments.realism.settings import RealismSettings
from spooflab.experiments.realism.sides import read_side

__all__ = ["Comparison", "RealismSettings", "compare", "read_side"]
