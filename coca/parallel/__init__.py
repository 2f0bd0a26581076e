"""Slabs of the box, the ranks that hold them, and Fourier transforms across ranks."""
