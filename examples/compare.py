"""COCA, COLA and BullFrog at equal forces: python examples/compare.py [directory].

Saves compare.png there. COLA is the 2LPT frame with explicit kicks.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import coca

METHODS = {
    "COCA": {"method": "coca"},
    "COLA": {"method": "cola"},
    "BullFrog": {"method": "bullfrog"},
}
FORCES = (2, 3, 4, 6, 8, 12)


def main(directory: Path) -> None:
    """Errors of positions and power at z = 0 against 64 BullFrog steps, 64^3 particles."""
    box = {"particles": 64, "box_size": 128.0, "seed": 42}
    reference = coca.simulate(**box, **METHODS["BullFrog"], force_evaluations=64)
    k, wanted = reference.spectra.k, reference.spectra.P_a
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for (name, options), marker in zip(METHODS.items(), "osv", strict=True):
        errors = []
        for count in FORCES:
            sim = coca.simulate(**box, **options, force_evaluations=count)
            errors.append(np.sqrt(np.mean((sim.displacement - reference.displacement) ** 2)))
            print(f"{name:9} {count:3} force evaluations: {errors[-1]:.3f} Mpc/h rms")
            if count == 4:
                right.semilogx(k, sim.spectra.P_a / wanted, marker=marker, ms=3, label=name)
        left.loglog(FORCES, errors, marker=marker, label=name)
    left.set_xticks(FORCES, FORCES)
    left.set_yticks([0.05, 0.1, 0.2, 0.5], [0.05, 0.1, 0.2, 0.5])
    left.minorticks_off()
    left.set(xlabel="force evaluations", ylabel="position error [Mpc/h], rms per component")
    right.axhline(1.0, color="grey", lw=0.8)
    right.set(xlabel="k [h/Mpc]", ylabel="P / P of the reference", ylim=(0.5, 1.2))
    right.set_title("4 force evaluations")
    left.legend(frameon=False)
    right.legend(frameon=False)
    figure.savefig(directory / "compare.png", dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
