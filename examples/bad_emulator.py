"""Your own emulator, a bad one, is corrected: python examples/bad_emulator.py [directory].

The "emulator" is a converged run whose displacements are 3 % too large. Saves bad_emulator.png.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import coca

BOX = {"particles": 32, "box_size": 64.0, "seed": 3}
REDSHIFTS = [3.0, 2.0, 1.2, 0.7, 0.3, 0.0]
FORCES = [2, 4, 8, 16, 32, 64]


def main(directory: Path) -> None:
    """Position error against the number of force evaluations, with the bad frame and without."""
    bullfrog = {"method": "bullfrog", "force_evaluations": 128}
    truth = coca.simulate(**BOX, **bullfrog, output={"redshifts": REDSHIFTS})
    wrong = {output.D: 1.03 * output.displacement for output in truth.outputs}
    emulator = coca.OwnEmulator.from_snapshots(wrong)

    def error(**options):
        run = coca.simulate(**BOX, **options)
        return float(np.std(run.displacement - truth.displacement))

    corrected = [error(emulator=emulator, force_evaluations=n) for n in FORCES]
    plain = [error(**bullfrog | {"force_evaluations": n}) for n in FORCES]
    alone = error(emulator=emulator, force_evaluations=0)
    figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
    axes.loglog(FORCES, plain, "s--", color="#D55E00", label="BullFrog")
    axes.loglog(FORCES, corrected, "o-", color="#0072B2", label="in the bad emulator's frame")
    axes.axhline(alone, color="grey", ls=":", label="the bad emulator alone")
    axes.set(xlabel="force evaluations", ylabel="rms position error [Mpc/h]")
    axes.set_xticks(FORCES, FORCES)
    axes.minorticks_off()
    axes.legend(frameon=False)
    figure.savefig(directory / "bad_emulator.png", dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
