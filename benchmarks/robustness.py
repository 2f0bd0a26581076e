"""What happens outside the training: cosmologies, initial conditions, spacings, broken weights.

64^3 particles on a 128^3 mesh to z = 0. Each case is run with BullFrog, with fitted steps in the
2LPT frame and with the emulator's frame, at the same numbers of force evaluations; the truth
is N-body. One JSON row for each case, method and number.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import h5py
import numpy as np
from safetensors.torch import save_file

from benchmarks.accuracy import FIDUCIAL, compare, plan_of, truth_of
from coca.emulator.weights_file import SHIPPED_WEIGHTS
from coca.files.safetensors import read_tensors, write_tensors
from coca.initial_conditions.gaussian_modes import white_noise_modes
from coca.integration.nbody import LONG_STEPS
from coca.parallel.domain import Domain
from coca.run.plan import Plan
from coca.run.simulation import run_plan

PARTICLES, BOX_SIZE, SEED = 64, 128.0, 31
FORCES = (4, 6)
RUNS = ("bullfrog", "fitted", "coca")
CONDITIONS = "conditions"
"""Where, beside the truths that are kept, initial displacements and weights are written."""
PLANE_WAVE = 12.0
"""Amplitude in Mpc/h at D = 1 of the plane wave, whose length is the box: shells cross late."""
TRANSVERSE = 6.0
"""Rms per component in Mpc/h at D = 1 of the transverse displacement."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--references", type=Path, default=Path("runs/references"))
    parser.add_argument("--threads", type=int, default=None)


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each case, method and number of force evaluations."""
    references = options.references
    options = argparse.Namespace(particles=PARTICLES, threads=options.threads)
    (references / CONDITIONS).mkdir(parents=True, exist_ok=True)
    rows = []
    for case, values in cases(references / CONDITIONS).items():
        truth = truth_of(_plan(options, values, "nbody", LONG_STEPS), references)
        for method in RUNS:
            for count in FORCES:
                simulation = run_plan(_plan(options, values, method, count))
                labels = {"case": case, "method": method, "force_evaluations": count}
                labels["warnings"] = simulation.warnings
                measured = compare(simulation, truth, labels)
                rows += [row for row in measured if row["k"] == 1.0]
        print(case, flush=True)
    return rows


def cases(directory: Path) -> dict[str, dict]:
    """Values of the configuration that differ from the usual in each case."""
    fiducial = {"Omega_m": 0.3175, **FIDUCIAL}

    def cosmology(**values):
        return {"cosmology": fiducial | values}

    def conditions(name):
        return {"initial_conditions": {"file": str(directory / name)}}

    write_displacements(directory)
    scramble_weights(directory / "scrambled.safetensors")
    return {
        "fiducial": {},
        "Omega_m = 0.05": cosmology(Omega_m=0.05, Omega_b=0.01),
        "Omega_m = 0.6": cosmology(Omega_m=0.6),
        "sigma_8 = 0.5": cosmology(sigma_8=0.5),
        "sigma_8 = 1.2": cosmology(sigma_8=1.2),
        "fixed amplitudes": {"initial_conditions": {"fixed_amplitude": True}},
        "plane wave": conditions("plane_wave.hdf5"),
        "transverse modes": conditions("transverse.hdf5"),
        "spacing + 2 %": {"box_size": 1.02 * BOX_SIZE},
        "spacing + 10 %": {"box_size": 1.1 * BOX_SIZE},
        "spacing - 10 %": {"box_size": 0.9 * BOX_SIZE},
        "scrambled weights": {"emulator": {"weights": str(directory / "scrambled.safetensors")}},
    }


def write_displacements(directory: Path) -> None:
    """Linear displacements that no Gaussian field has: one wave, and fields without divergence."""
    shape = (3, PARTICLES, PARTICLES, PARTICLES)
    wave = np.zeros(shape, np.float32)
    q = 2 * np.pi * np.arange(PARTICLES) / PARTICLES
    wave[0] = PLANE_WAVE * np.sin(q)[:, None, None]
    domain = Domain(BOX_SIZE, PARTICLES, 1)
    k = [domain.kf * np.fft.fftfreq(PARTICLES, 1 / PARTICLES)] * 2
    k = np.meshgrid(*k, domain.kf * np.arange(PARTICLES // 2 + 1), indexing="ij")
    k_max = np.pi * PARTICLES / BOX_SIZE
    smooth = np.exp(-sum(component**2 for component in k) / (0.25 * k_max) ** 2)
    A = [smooth * white_noise_modes(domain, SEED + axis, False, False) for axis in range(3)]
    curl = [k[b] * A[c] - k[c] * A[b] for b, c in ((1, 2), (2, 0), (0, 1))]
    transverse = np.array([np.fft.irfftn(1j * component, shape[1:]) for component in curl])
    transverse *= TRANSVERSE / transverse.std()
    for name, psi1 in (("plane_wave", wave), ("transverse", transverse)):
        with h5py.File(directory / f"{name}.hdf5", "w") as file:
            file["psi1"] = psi1.astype(np.float32)


def scramble_weights(path: Path) -> None:
    """The shipped weights, each tensor of the network in random order."""
    rng = np.random.default_rng(SEED)
    metadata, tensors = read_tensors(SHIPPED_WEIGHTS, "pt")
    for name, tensor in tensors.items():
        if name.startswith("network."):
            flat = tensor.flatten()
            tensors[name] = flat[rng.permutation(len(flat))].view(tensor.shape)
    write_tensors(path, save_file, tensors, metadata)


def _plan(options: argparse.Namespace, values: dict, method: str, count: int) -> Plan:
    values = {"linear_power": {"source": "eisenstein_hu"}, **values}
    if method != "coca":
        values.pop("emulator", None)
    cosmology = values.pop("cosmology", {"Omega_m": 0.3175, **FIDUCIAL})
    return plan_of(options, method, count, SEED, cosmology, **values)


def table(rows: list[dict]) -> str:
    """Errors of each case, and what gave the emulator's run its particles."""
    titles = ["case", "n_f", *(f"{method}: rms, P-1, 1-r" for method in RUNS), "coca ran as"]
    lines = [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    cells = {(row["case"], row["force_evaluations"], row["method"]): row for row in rows}
    for case in dict.fromkeys(row["case"] for row in rows):
        for count in FORCES:
            mine = [cells[case, count, method] for method in RUNS]
            errors = " | ".join(map(_errors, mine))
            lines.append(f"| {case} | {count} | {errors} | {mine[-1]['given_by']} |")
    return "\n".join(lines)


def _errors(row: dict) -> str:
    P, r = 100 * (row["p_ratio"] - 1), 100 * (1 - row["r"])
    return f"{row['rms']:.3f}, {P:+.1f} %, {r:.2f} %"
