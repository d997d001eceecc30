"""Heads rendered from a linear shape model: identity and session are drawn apart."""

from spooflab.generators.faces.procedural.params import IdentityParams, NuisanceParams
from spooflab.generators.faces.procedural.render import render
from spooflab.generators.faces.procedural.sample import sample_identity, sample_nuisance
from spooflab.generators.faces.procedural.source import ProceduralFaces

__all__ = ["IdentityParams", "NuisanceParams", "ProceduralFaces", "render", "sample_identity", "sample_nuisance"]
