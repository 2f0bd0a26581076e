"""A first run: python examples/first_run.py [directory]; saves first_run.png there."""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import coca


def main(directory: Path) -> None:
    """64^3 particles in 128 Mpc/h with four force evaluations, to z = 0."""
    sim = coca.simulate(particles=64, box_size=128.0, seed=42, force_evaluations=4)
    print(sim.method)
    print(sim.trust.statement)
    u = np.sqrt(np.mean(sim.velocities**2))
    print(f"{len(sim.ids)} particles, peculiar velocities {u:.0f} km/s rms per component")

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    x, y, z = sim.positions
    slab = z < 16.0  # Mpc/h
    cells, edges = np.histogram2d(x[slab], y[slab], bins=128, range=[[0, 128]] * 2)[0], [0, 128]
    image = left.imshow(np.log10(1 + cells.T), origin="lower", extent=edges * 2, cmap="viridis")
    figure.colorbar(image, ax=left, label="log10(1 + particles per cell), 16 Mpc/h deep")
    left.set(xlabel="x [Mpc/h]", ylabel="y [Mpc/h]", title="particles at z = 0")
    right.loglog(sim.spectra.k, sim.spectra.P_a, label="fitted steps, 4 forces")
    right.loglog(sim.spectra.k, sim.last.linear_power, "--", label="linear theory")
    right.set(xlabel="k [h/Mpc]", ylabel="P(k) [(Mpc/h)$^3$]", title="power spectrum")
    right.legend(frameon=False)
    figure.savefig(directory / "first_run.png", dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
