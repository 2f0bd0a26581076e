"""A frame of reference from any emulator of displacements, yours or a published one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.interpolate import CubicSpline

from coca.cosmology.background import Cosmology
from coca.errors import ConfigError, short
from coca.frames import Frame, SeparableFrame, Term, lpt_terms
from coca.initial_conditions.linear_fields import InitialConditions


class OwnEmulator:
    """Trajectories through displacements that a function gives at some growth factors.

    What it adds to second-order LPT is interpolated in D by cubic splines that leave 2LPT with
    nothing at D = 0, neither displacement nor velocity; so velocities and accelerations are exact
    derivatives of the trajectories, whatever the function. It is called once for each knot, and
    each takes 12 bytes a particle.

    Parameters
    ----------
    displacement : callable
        Gives x - q at a growth factor D (1 today), array (3, N) in Mpc/h, particles in Lagrangian
        order: i n^2 + j n + l started from q = (i, j, l) box_size / n.
    knots : sequence of float
        Two or more growth factors in increasing order, the last that of the last output or later.

    Raises
    ------
    ConfigError
        The knots are not as they should be, or there is no function.
    """

    def __init__(self, displacement: Callable[[float], np.ndarray], knots: Sequence[float]):
        if not callable(displacement):
            raise ConfigError(
                f"emulator: found {short(displacement)}, wanted a function of the growth factor"
            )
        self._displacement = displacement
        self.knots = _knots(knots)

    @classmethod
    def from_snapshots(cls, displacements: Mapping[float, np.ndarray]) -> OwnEmulator:
        """An emulator of displacements (3, N) in Mpc/h by growth factor, such as another run's."""
        if not isinstance(displacements, Mapping) or not all(
            isinstance(D, (int, float, np.number)) for D in displacements
        ):
            raise ConfigError(
                f"emulator: found {short(displacements)}, wanted displacements by growth factor"
            )
        return cls(lambda D: displacements[D], sorted(displacements))

    def frame(self, cosmology: Cosmology, conditions: InitialConditions) -> Frame:
        """The trajectories.

        Raises
        ------
        ConfigError
            The function gave something else than finite numbers of the right shape.
        """
        lpt, terms = (
            conditions.lpt_frame(cosmology),
            lpt_terms(cosmology, conditions.psi1, conditions.psi2),
        )
        values = np.eye(len(self.knots) + 1)[1:]
        for D, row in zip(self.knots, values, strict=True):
            bend = CubicSpline([0.0, *self.knots], row, bc_type=((1, 0.0), "not-a-knot"))
            found = self._checked(float(D), lpt.n_particles)
            terms.append(Term(_growth(bend), found - lpt.displacement(D)))
        return SeparableFrame(lpt.n_particles, *terms)

    def _checked(self, D: float, N: int) -> np.ndarray:
        given = self._displacement(D)
        try:
            found = np.asarray(given, np.float32)
        except (TypeError, ValueError, RuntimeError):  # the last of tensors
            raise ConfigError(
                f"emulator: found {short(given)} at D = {D:g}, wanted an array (3, {N})"
            ) from None
        if found.shape != (3, N) or not np.isfinite(found).all():
            raise ConfigError(
                f"emulator: found an array {found.shape} at D = {D:g}, wanted (3, {N}) finite "
                "numbers"
            )
        return found


def _knots(knots: Sequence[float]) -> np.ndarray:
    """Growth factors as an array; ConfigError if they are not such as a spline needs."""
    try:
        found = np.array(knots, np.float64)
    except (TypeError, ValueError):
        found = np.zeros(0)
    several = found.ndim == 1 and len(found) > 1 and np.isfinite(found).all()
    if not several or not (np.diff(found, prepend=0.0) > 0).all():
        raise ConfigError(
            f"emulator: found knots {short(knots)}, wanted two or more growth factors above 0 in "
            "increasing order"
        )
    return found


def _growth(bend: CubicSpline) -> Callable[[float], tuple[float, float, float]]:
    return lambda D: (float(bend(D)), float(bend(D, 1)), float(bend(D, 2)))
