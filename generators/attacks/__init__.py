"""Presentation and injection attacks: a folder for each family, a file for each species."""
