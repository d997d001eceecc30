"""Why a detector fails: where its features lie, where it looks, and which recorded physics goes with being accepted."""

from spooflab.experiments.explain.explain import EXPLAIN_FILE, FOLDER, explain_study
from spooflab.experiments.explain.network import ExplainSettings

__all__ = ["EXPLAIN_FILE", "FOLDER", "ExplainSettings", "explain_study"]
