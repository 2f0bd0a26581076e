"""Train a small emulator and run in its frame: python examples/train_your_own.py [directory].

Saves train_your_own.png, the weights and the training simulations there, in under a minute on two
cores with bfloat16 products; further arguments are the numbers of iterations and of training
simulations, 400 and 12 otherwise. The
emulator halves 2LPT's error in phases that it has not seen, and has the power of large scales only:
a larger network and box, configs/train.yaml, do better, and forces correct what is left.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import coca
from coca.commands.train import train
from coca.configuration.training import TrainConfig

RANGES = {
    "Omega_m": [0.25, 0.4], "Omega_b": [0.045, 0.055], "h": [0.62, 0.75],
    "n_s": [0.93, 1.0], "sigma_8": [0.75, 0.9],
}  # fmt: skip


def train_small(directory: Path, iterations: int, simulations: int) -> Path:
    """Weights trained on so many simulations of 32^3 particles."""
    weights = directory / "small.safetensors"
    config = {
        "simulations": {
            "directory": directory / "training", "training": simulations, "validation": 1,
            "cosmology": RANGES, "box_size": 64.0, "particles": 32, "mesh": 64, "seed": 1000,
            "force_evaluations": 16,
        },
        "network": {"channels": [32, 64], "blocks": [1, 1], "blocks_up": [1], "time_functions": 3},
        "optimiser": {
            "iterations": iterations, "warmup": iterations // 8, "checkpoint_every": 100
        },
        "weights": weights,
        "threads": 1,  # work on 32^3 cells is too short to share
    }  # fmt: skip
    train(coca.make_config(config, TrainConfig))
    return weights


def main(directory: Path, iterations: int = 400, simulations: int = 12) -> None:
    """Runs without forces, of phases and a cosmology not trained on, beside a converged run."""
    weights = train_small(directory, iterations, simulations)
    box = {"particles": 32, "box_size": 64.0, "seed": 7, "force_evaluations": 0}
    own = coca.simulate(
        **box, method="coca", emulator={"weights": weights}, reference={"force_evaluations": 32}
    )
    runs = {
        "2LPT": coca.simulate(**box, method="fitted"),
        f"emulator, {iterations} iterations": own,
    }
    reference = own.outputs[-1].reference
    figure, (power, distance) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for (name, run), style in zip(runs.items(), ("s--", "o-"), strict=True):
        off = run.displacement - reference
        rms = np.sqrt(np.mean(off**2))
        print(f"{name}: {rms:.2f} Mpc/h rms per component from the reference")
        power.plot(run.spectra.k, run.spectra.P_a / own.spectra.P_b, style, ms=3, label=name)
        distance.hist(
            np.sqrt((off**2).sum(axis=0)), np.linspace(0, 8, 81), histtype="step", ls=style[1:],
            density=True, label=f"rms per component {rms:.2f} Mpc/h",
        )  # fmt: skip
    power.axhline(1.0, color="grey", lw=0.8)
    power.set(xlabel="k [h/Mpc]", ylabel="P / P of the reference")
    distance.set(
        xlabel="distance from the reference [Mpc/h]", ylabel="share of particles per Mpc/h"
    )
    for axes in (power, distance):
        axes.legend(frameon=False)
    figure.suptitle("no force evaluations")
    figure.savefig(directory / "train_your_own.png", dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."), *map(int, sys.argv[2:4]))
