"""Train a small emulator and run in its frame: python examples/train_your_own.py [directory].

Saves train_your_own.png, the weights and the training simulations there. It is far too short a
training for use; configs/train.yaml has the shipped emulator's.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import coca
from coca.train import train
from coca.training_config import TrainConfig

RANGES = {
    "Omega_m": [0.25, 0.4], "Omega_b": [0.045, 0.055], "h": [0.62, 0.75],
    "n_s": [0.93, 1.0], "sigma_8": [0.75, 0.9],
}  # fmt: skip


def main(directory: Path) -> None:
    """Seven simulations of 32^3 particles, then runs with no force in both frames."""
    weights = directory / "small.safetensors"
    config = {
        "simulations": {
            "directory": directory / "training", "training": 6, "validation": 1,
            "cosmology": RANGES, "box_size": 64.0, "particles": 32, "mesh": 64, "seed": 1000,
            "force_evaluations": 16,
        },
        "network": {"channels": [12, 24], "blocks": [1, 1], "blocks_up": [1], "time_functions": 3},
        "optimiser": {"iterations": 24, "warmup": 3, "checkpoint_every": 12},
        "weights": weights,
    }  # fmt: skip
    train(coca.make_config(config, TrainConfig))
    box = {"particles": 32, "box_size": 64.0, "seed": 7, "force_evaluations": 0}
    own = coca.simulate(**box, emulator={"weights": weights}, reference={"force_evaluations": 32})
    lpt = coca.simulate(**box, frame="lpt")
    figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
    wanted, k = own.spectra.P_b, own.spectra.k
    axes.plot(k, lpt.spectra.P_a / wanted, "s--", ms=3, label="2LPT")
    axes.plot(k, own.spectra.P_a / wanted, "o-", ms=3, label="emulator, 24 iterations")
    axes.axhline(1.0, color="grey", lw=0.8)
    axes.set(xlabel="k [h/Mpc]", ylabel="P / P of the reference", title="no force evaluations")
    axes.legend(frameon=False)
    figure.savefig(directory / "train_your_own.png", dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
