"""Power spectra of a run's outputs, of its frame alone and against its reference."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coca.cosmology.background import redshift
from coca.run.simulation import Simulation
from coca.statistics.spectra import Spectra, density_modes, spectra


class Measurement(NamedTuple):
    """Spectra of one output."""

    redshift: float
    D: float
    run: Spectra
    """Power of the run, with the reference as b where there is one."""
    frame: Spectra | None
    """The same for particles that follow the frame alone; None where there is no frame."""
    linear: np.ndarray
    """Linear theory at run.k, (Mpc/h)^3."""


def measure_spectra(simulation: Simulation) -> list[Measurement]:
    """Power spectra of every output, of the frame alone and against the reference."""
    domain, mesh = simulation.domain, simulation.config.mesh

    def modes(disp: np.ndarray) -> np.ndarray:
        return density_modes(domain, domain.add_lattice(disp), mesh)

    measurements = []
    for i, snapshot in enumerate(simulation.snapshots):
        reference = modes(simulation.reference[i].disp) if simulation.reference else None
        run = spectra(domain, modes(snapshot.disp), reference)
        frame = None
        if simulation.run.method.frame != "rest":
            alone = simulation.run.frame.displacement(snapshot.D)
            frame = spectra(domain, modes(alone), reference)
        z = redshift(float(simulation.cosmology.a_of_D(snapshot.D)))
        linear = snapshot.D**2 * simulation.power(run.k)
        measurements.append(Measurement(z, snapshot.D, run, frame, linear))
    return measurements
