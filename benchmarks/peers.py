"""Our force beside other codes' on the same particles and the same mesh.

    python benchmarks/peers.py --peers pysco,pmwd --pmwd PATH --json peers.json

PySCo is the package pysco-nbody (the extra `peers`); its first import compiles for minutes.
pmwd is not on PyPI: give the path of a checkout, beside jax and mcfit. A peer that is absent is
skipped with the reason. Both peers use spectral derivatives and cloud-in-cell without
deconvolution here, as we do, so the fields must agree to round-off.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from coca.cosmology import Cosmology
from coca.domain import Domain
from coca.files import whole_file
from coca.force import ParticleMesh
from coca.initial import from_seed
from coca.power import linear_power
from coca.threads import choose_threads

COSMOLOGY = Cosmology(0.3175, 0.049, 0.6711, 0.9624, 0.834)


def main(arguments: list[str] | None = None) -> None:
    """Command line of the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", default="pysco,pmwd", type=lambda text: text.split(","))
    parser.add_argument("--pmwd", type=Path, help="path of a checkout of pmwd")
    parser.add_argument("--particles", type=int, default=64, help="per dimension, 2 Mpc/h apart")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args(arguments)
    threads = choose_threads("auto")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    domain = Domain(2.0 * options.particles, options.particles, threads, "measure")
    x = zeldovich_positions(domain)
    ours = ParticleMesh(domain, 2 * domain.n)
    g = ours(x)[0].copy()
    rows = [{"code": "coca", "seconds": seconds_of(lambda: ours(x))}]
    for name in options.peers:
        try:
            force = PEERS[name](domain, x, 2 * domain.n, options)
        except ImportError as error:
            rows.append({"code": name, "skipped": str(error)})
            continue
        rows.append({"code": name, **compare(force(), g), "seconds": seconds_of(force)})
    for row in rows:
        print(json.dumps(row))
    if options.json:
        with whole_file(options.json) as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n")


def zeldovich_positions(domain: Domain) -> np.ndarray:
    """Particles far from the lattice: the Zel'dovich approximation at z = 0, in the box."""
    power = linear_power(COSMOLOGY, "eisenstein_hu")
    x = domain.add_lattice(from_seed(domain, power, 1).psi1)
    x %= np.float32(domain.box_size)
    x[x >= domain.box_size] = 0
    return x


def compare(theirs: np.ndarray, ours: np.ndarray) -> dict:
    """Correlation coefficient and relative rms difference of two vector fields."""
    difference = np.sqrt(np.mean((theirs - ours) ** 2, dtype=float) / np.mean(ours**2, dtype=float))
    correlation = np.corrcoef(theirs.ravel().astype(float), ours.ravel().astype(float))[0, 1]
    return {"correlation": float(correlation), "relative_rms": float(difference)}


def seconds_of(function, repeats: int = 5) -> float:
    """Median wall seconds of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def pysco_force(domain: Domain, x: np.ndarray, mesh: int, options):
    """PySCo's spectral solver; its mesh is cell-centred and it keeps the Nyquist gradient."""
    package = find_spec("pysco")
    if package is None:
        raise ImportError("pysco is not installed; pip install pysco-nbody")
    # its modules import each other by bare names; these two without the rest compile faster
    sys.path.insert(0, package.submodule_search_locations[0])
    import fourier
    import mesh as pysco_mesh

    shifted = np.mod(x.T.astype(np.float64) / domain.box_size + 0.5 / mesh, 1.0).astype(np.float32)
    shifted[shifted >= 1] = 0
    shifted = np.ascontiguousarray(shifted)
    half, weight = mesh // 2, np.float32(mesh**3 / len(shifted))

    def force() -> np.ndarray:
        density = pysco_mesh.CIC(shifted, mesh) * weight - np.float32(1)
        modes = fourier.fft_3D_real(density, domain.threads)
        gradient = fourier.gradient_inverse_laplacian(modes)
        gradient[half, :, :, 0], gradient[:, half, :, 1], gradient[:, :, half, 2] = 0, 0, 0
        field = fourier.ifft_3D_real_grad(gradient, domain.threads)
        return domain.box_size * pysco_mesh.invCIC_vec(field, shifted).T

    return force


def pmwd_force(domain: Domain, x: np.ndarray, mesh: int, options):
    """pmwd's gravity, which is -(3/2) Omega_m times our g."""
    if options.pmwd is None:
        raise ImportError("pmwd is not on PyPI; give --pmwd with the path of a checkout")
    sys.path.insert(0, str(options.pmwd))
    import jax
    import pmwd

    configuration = pmwd.Configuration(domain.cell, (domain.n,) * 3, mesh_shape=mesh // domain.n)
    cosmology = pmwd.Cosmology(
        configuration, A_s_1e9=2.0, n_s=0.96, Omega_m=1 / 1.5, Omega_b=0.05, h=0.7
    )
    particles = pmwd.Particles.from_pos(configuration, jax.numpy.asarray(x.T))
    gravity = jax.jit(pmwd.gravity, static_argnums=3)
    return lambda: -np.asarray(gravity(1.0, particles, cosmology, configuration)).T


PEERS = {"pysco": pysco_force, "pmwd": pmwd_force}

if __name__ == "__main__":
    main()
