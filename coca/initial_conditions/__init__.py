"""Gaussian modes and Lagrangian perturbation theory, from a seed, a file or a snapshot."""
