"""Simulations in common use, for comparison."""
