"""Attacks on a given detector."""
