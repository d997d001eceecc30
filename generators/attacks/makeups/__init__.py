"""Makeup on a live face."""
