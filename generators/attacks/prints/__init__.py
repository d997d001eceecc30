"""Printed sheets that are shown whole."""
