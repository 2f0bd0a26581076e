"""What the particle lattice adds to the force and to the power on meshes of 1, 2 and 3 times it.

    python benchmarks/lattice.py

First the amplitude of the force on plane waves of small displacement, which should be -1; then
power at D = 0.3 and 1 of BullFrog runs with 32 steps, over that of the finest mesh.
"""

from __future__ import annotations

import numpy as np

from coca.analysis import density_modes, spectra
from coca.cosmology import Cosmology
from coca.domain import Domain
from coca.force import ParticleMesh
from coca.frames import rest_frame
from coca.initial import from_seed
from coca.integrate import VelocityKick, initial_state, integrate
from coca.power import linear_power
from coca.schemes import bullfrog
from coca.threads import choose_threads

FACTORS = (1, 2, 3)
COSMOLOGY = Cosmology(0.3175, 0.049, 0.6711, 0.9624, 0.834)


def main() -> None:
    """Print both tables."""
    threads = choose_threads("auto")
    print("amplitude of the force on a wave of displacement 0.1 cells of the lattice")
    print("| mesh / particles | 32 cells a wave | 8 cells a wave |\n| --- | --- | --- |")
    domain = Domain(64.0, 32, threads)
    for factor in FACTORS:
        row = [wave_amplitude(domain, factor, mode) for mode in (1, 4)]
        print(f"| {factor} | {row[0]:.3f} | {row[1]:.3f} |")
    print("\npower over that of the mesh of 3 times the particles, k = 0.2 / 0.5 / 1 h/Mpc")
    print("| mesh / particles | D = 0.3 | D = 1 |\n| --- | --- | --- |")
    domain = Domain(128.0, 64, threads)
    runs = {factor: run(domain, factor) for factor in FACTORS}
    for factor, modes in runs.items():
        ratios = [spectra(domain, a, b) for a, b in zip(modes, runs[3], strict=True)]
        cells = [" / ".join(f"{s.at(k).ratio:.3f}" for k in (0.2, 0.5, 1.0)) for s in ratios]
        print(f"| {factor} | {cells[0]} | {cells[1]} |")


def wave_amplitude(domain: Domain, factor: int, mode: int) -> float:
    """Projection of the force on the displacement of a plane wave."""
    n = domain.n
    wave = np.sin(mode * domain.kf * domain.cell * np.arange(n))
    disp = np.zeros((3, n, n, n), np.float32)
    disp[0] = 0.1 * domain.cell * wave[:, None, None]
    g, _ = ParticleMesh(domain, factor * n)(domain.add_lattice(disp.reshape(3, -1)))
    return float(np.sum(g * disp.reshape(3, -1)) / np.sum(disp**2))


def run(domain: Domain, factor: int) -> list[np.ndarray]:
    """Density modes at D = 0.3 and 1 of a run of seed 11."""
    D_start, rest = float(COSMOLOGY.D1(0.05)), rest_frame(domain.particles)
    conditions = from_seed(domain, linear_power(COSMOLOGY, "eisenstein_hu"), 11)
    state = initial_state(conditions.lpt_frame(COSMOLOGY), rest, D_start)
    steps = bullfrog(COSMOLOGY, D_start, 1.0, 32)
    force = ParticleMesh(domain, factor * domain.n)
    snapshots = integrate(domain, rest, force, VelocityKick(), steps, state, [0.3, 1.0])
    return [density_modes(domain, domain.add_lattice(s.disp), 2 * domain.n) for s in snapshots]


if __name__ == "__main__":
    main()
