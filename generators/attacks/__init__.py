"""Presentation and injection attacks, one species or family in each file."""
