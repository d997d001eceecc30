"""Screens that show a face."""
