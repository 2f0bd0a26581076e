"""Our run beside PySCo's from its particles: python examples/match_another_code.py [directory].

Saves match_another_code.png there. PySCo is the extra `peers` and takes a minute or more to import.
A code that writes Gadget HDF5 snapshots needs no `as_gadget`.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pysco

import coca
from coca.api import QUIJOTE
from coca.cosmology.background import Cosmology
from coca.cosmology.linear_power import linear_power
from coca.files.snapshot_reader import read_particles
from coca.parallel.domain import Domain
from coca.statistics.spectra import particle_spectra

BOX, N, START = 128.0, 64, 19.0
RUNS = {
    "64 BullFrog steps": {
        "method": "bullfrog", "force_evaluations": 64
    },
    "12 forces, 2LPT frame": {"method": "cola", "force_evaluations": 12},
}  # fmt: skip


def run_pysco(directory: Path) -> None:
    """PySCo to z = 0, without the radiation that we neglect, particles in the lattice's order."""
    k, power = np.geomspace(1e-4, 50, 2000), linear_power(Cosmology(**QUIJOTE), "eisenstein_hu")
    np.savetxt(directory / "power.txt", np.column_stack([k, power(k)]))
    pysco.run({
        "theory": "newton", "H0": 100 * QUIJOTE["h"], "Om_m": QUIJOTE["Omega_m"], "T_cmb": 0.0,
        "N_eff": 0.0, "w0": -1.0, "wa": 0.0, "boxlen": BOX, "npart": N**3, "z_start": START,
        "seed": 42, "initial_conditions": "2LPT", "position_ICS": "center", "fixed_ICS": False,
        "paired_ICS": False, "dealiased_ICS": False, "base": str(directory),
        "power_spectrum_file": f"{directory}/power.txt", "output_snapshot_format": "HDF5",
        "save_power_spectrum": "no", "z_out": "[0.0]", "integrator": "leapfrog",
        "n_reorder": 10**9, "max_aexp_stepping": 4, "Courant_factor": 0.5,
        "mass_scheme": "CIC", "ncoarse": int(np.log2(N)), "linear_newton_solver": "fft",
        "gradient_stencil_order": 5, "nthreads": 0, "verbose": 0,
    })  # fmt: skip


def as_gadget(directory: Path, number: int) -> Path:
    """An output of PySCo as a Gadget snapshot; its attributes have its units in km and s."""
    target = directory / f"{number}.hdf5"
    source = next(directory.glob(f"output_0000{number}/*.h5"))
    with h5py.File(source) as theirs, h5py.File(target, "w") as ours:
        a, speed = theirs.attrs["aexp"], theirs.attrs["unit_l"] / theirs.attrs["unit_t"]
        count = [0, N**3, 0, 0, 0, 0]
        ours.create_group("Header").attrs.update({
            "Time": a, "BoxSize": 1e3 * BOX, "NumFilesPerSnapshot": 1, "NumPart_Total": count,
            "NumPart_ThisFile": count, "Omega0": QUIJOTE["Omega_m"], "HubbleParam": QUIJOTE["h"],
            "MassTable": [0, 27.7536627 * QUIJOTE["Omega_m"] * (BOX / N) ** 3, 0, 0, 0, 0],
        })  # fmt: skip
        ours["PartType1/Coordinates"] = 1e3 * BOX * theirs["position"][:]
        ours["PartType1/Velocities"] = speed / np.sqrt(a) * theirs["velocity"][:]
        ours["PartType1/ParticleIDs"] = np.arange(N**3)
    return target


def main(directory: Path) -> None:
    """Particles, power and phases at z = 0 of both codes, 64^3 particles."""
    with TemporaryDirectory() as work:
        run_pysco(Path(work))
        start, end = (as_gadget(Path(work), number) for number in range(2))
        theirs = read_particles(end).x - 0.5 * BOX / N  # its lattice is of cell centres
        options = {  # PySCo's force: its mesh, and windows divided out
            "particles": N, "box_size": BOX, "mesh": N, "force": {"deconvolve": True},
            "initial_conditions": {"snapshot": start},
        }  # fmt: skip
        runs = {name: coca.simulate(**options, **method) for name, method in RUNS.items()}

    figure, axes = plt.subplots(2, 3, figsize=(13, 8), layout="constrained")
    for name, run in runs.items():
        difference = run.positions - theirs
        difference -= BOX * np.rint(difference / BOX)
        rms = np.sqrt(np.mean(difference**2))
        label = f"{name}: {rms:.3f} Mpc/h rms"
        print(f"{label} per component, median {np.median(np.abs(difference)):.3f} Mpc/h")
        spectra = particle_spectra(Domain(BOX, N), 2 * N, run.positions, theirs)
        axes[1, 0].semilogx(spectra.k, spectra.ratio, label=label)
        axes[1, 1].semilogx(spectra.k, spectra.r)
        distance = np.sort(np.linalg.norm(difference, axis=0))
        axes[1, 2].semilogx(distance, np.linspace(0, 1, distance.size))
    print(*(line for line in run.warnings if "snapshot" in line), sep="\n")
    first = next(iter(RUNS))
    draw_slabs(figure, axes[0], slab(theirs), slab(runs[first].positions), f"coca, {first}")
    axes[1, 0].set(xlabel="k [h/Mpc]", ylabel="P / P of PySCo", ylim=(0.97, 1.03))
    axes[1, 1].set(xlabel="k [h/Mpc]", ylabel="r with PySCo", ylim=(0.99, 1.0005))
    axes[1, 2].set(xlabel="distance from PySCo's particle [Mpc/h]", ylabel="share of particles")
    axes[1, 0].legend(frameon=False, fontsize="small")
    figure.savefig(directory / "match_another_code.png", dpi=120)


def draw_slabs(figure, panels, theirs: np.ndarray, ours: np.ndarray, title: str) -> None:
    """Both densities and their difference."""
    box = {"origin": "lower", "extent": [0, BOX] * 2}
    panels[0].imshow(np.log10(1 + theirs), **box)
    image = panels[1].imshow(np.log10(1 + ours), **box)
    change = panels[2].imshow(ours - theirs, **box, cmap="RdBu", vmin=-2, vmax=2)
    figure.colorbar(image, ax=panels[1], label="log10(1 + particles per cell)")
    figure.colorbar(change, ax=panels[2], label="particles per cell")
    for panel, name in zip(panels, ("PySCo", title, "coca - PySCo"), strict=True):
        panel.set(title=name, xlabel="x [Mpc/h]", ylabel="y [Mpc/h]")


def slab(x: np.ndarray) -> np.ndarray:
    """Particles per cell of 1 Mpc/h in a slab 16 Mpc/h deep, y by x."""
    x = x[:, x[2] % BOX < 16.0] % BOX
    return np.histogram2d(x[1], x[0], bins=int(BOX), range=[[0, BOX]] * 2)[0]


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
