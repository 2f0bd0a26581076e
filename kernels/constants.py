"""Numbers that kernels share with what calls them, to be had without loading numba."""

CIC, TSC = (0, 1), (-1, 0, 1)
"""The cells of a cloud."""
FEATURES = 4
"""Features of a particle in a fitted step."""
TARGETS = 2
"""What a fitted step makes of them."""
