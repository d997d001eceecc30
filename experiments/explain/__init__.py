"""Why a detector fails: where its features lie, where it looks, and which recorded physics goes with being accepted."""

from spooflab.experiments.explain.explain import EXPLAIN_FILE, FOLDER, ExplainSettings, explain_study

__all__ = ["EXPLAIN_FILE", "FOLDER", "ExplainSettings", "explain_study"]
