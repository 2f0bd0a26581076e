"""Numba kernels: arrays and scalars in, arrays out. No configuration, no files, no MPI.

Conventions. Particle arrays have shape (3, N) float32, positions in Mpc/h, unwrapped.
Meshes have planes (m, p >= m) float32 along x and cell i starts at i * cell. Kernels run on
`numba.get_num_threads()` threads, unless they say otherwise.
"""
