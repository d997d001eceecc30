"""Printed sheets with openings, cut along an outline, or worn."""
