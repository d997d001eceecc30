"""Attacks on a given detector by its gradient: the optimisers, the detector's wrapper and a shipped surrogate."""
