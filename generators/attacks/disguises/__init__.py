"""Tattoos and wigs."""
