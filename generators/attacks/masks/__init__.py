"""Masks and heads in three dimensions."""
