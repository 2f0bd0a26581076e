"""Gravity at the particles."""
