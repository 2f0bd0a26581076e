"""Fitted steps: each kick and drift is the best linear guess of where the particle will be.

In haloes the orbital time is shorter than a step, and no quadrature of the force can follow.
What can be known is the mean of a particle's residual at the step's end, given what was measured:
its residual now, its residual velocity, the residual acceleration here and a step before. A step is

    (e, H w)(D1) = (M + M_fit) (e, H w, H^2 s, H^2 s before).

M is the explicit kick and drift, and M_fit what is fitted on simulations by `coca.fit`, for each
class of density now and a step before, the same in all directions; between two classes it goes over
from one to the other. Features that vanish stay so:
a frame without residual is followed exactly. Where haloes turn faster than the step, what
`coca.orbits` finds of their particles comes on top. The last step's row for e is fitted to the
power spectrum and the correlation of the density, since the mean position of a particle in a halo
is more central than the particle.

All lengths scale with the particle spacing, so that M_fit depends on the number of steps, which
of them it is, and how nonlinear the box is at the end, ln(D_end sigma), sigma the rms linear
density on the particle lattice at D = 1. docs/steps.md has the measurements.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

import kernels.fitted
import kernels.orbits
from coca import orbits
from coca.cosmology import Cosmology
from coca.domain import Domain
from coca.errors import FileError
from coca.force import Acceleration
from coca.frames import Frame
from coca.integrate import Evaluation, State, evaluation_of
from coca.orbits import Followers
from coca.schemes import Step, edges
from coca.tensors import read_tensors, write_tensors

if TYPE_CHECKING:
    from coca.training_config import FitConfig

FORMAT = "coca-steps-4"
DENSITIES = np.array(
    [0.3, 0.5, 0.75, 1, 1.5, 2.5, 4, 7, 12, 20, 35, 70, 150], np.float32
)  # fmt: skip
"""Edges in 1 + delta of the density classes now."""
DENSITIES_BEFORE = np.array([0.6, 1.2, 3, 10, 40], np.float32)
"""Edges in 1 + delta of the density classes a step before."""
CLASSES = len(DENSITIES_BEFORE) + 1, len(DENSITIES) + 1
MATRIX = kernels.fitted.TARGETS, kernels.fitted.FEATURES
SHARPENING = 0.3
"""Of what keeps each class's mean: with it the power at k = 1 h/Mpc is that of sharp edges."""
MODES_AT_A_TIME = 2**20
"""Whose squares `nonlinearity` has in memory."""
SHIPPED = Path(__file__).parent / "tables"


def shipped(frame: str) -> Path:
    """The table that comes with the package for frame "lpt" or "emulator"."""
    return SHIPPED / f"{frame}.safetensors"


@dataclass(frozen=True)
class FittedRange:
    """What the fit has seen: lowest and highest values."""

    cell: tuple[float, float]
    """Particle spacing in Mpc/h."""
    Omega_m: tuple[float, float]
    sigma_8: tuple[float, float]
    D_end: tuple[float, float]
    """Growth factor of the last output."""
    redshift: tuple[float, float]
    """Of the start."""

    @classmethod
    def of(cls, config: FitConfig) -> FittedRange:
        """That of a fit."""
        D_end = min(config.growth_factors), max(config.growth_factors)
        redshift = config.redshift, config.redshift
        cosmology = config.cosmology
        return cls(config.spacing, cosmology.Omega_m, cosmology.sigma_8, D_end, redshift)

    def warnings(
        self, cell: float, cosmology: Cosmology, D_end: float, redshift: float
    ) -> list[str]:
        """One line for each value outside the range."""
        values = {
            "spacing of the particles": cell,
            "cosmology.Omega_m": cosmology.Omega_m,
            "cosmology.sigma_8": cosmology.sigma_8,
            "growth factor of the last output": D_end,
            "initial_conditions.redshift": redshift,
        }
        return [
            f"{name} = {value:.4g} is outside the range [{low:.4g}, {high:.4g}] of the fitted steps"
            for (name, value), (low, high) in zip(
                values.items(), asdict(self).values(), strict=True
            )
            if not 0.999 * low <= value <= 1.001 * high
        ]


class FittedSteps:
    """Matrices for every number of steps, on nodes of nonlinearity.

    Parameters
    ----------
    nodes : dict of int to array (K,)
        Increasing values of ln(D_end sigma) for each number of steps.
    fractions : dict of int to array (steps + 1,)
        Edges of the steps, see `coca.schemes.edges`.
    matrices : dict of int to array (steps, K, *CLASSES, TARGETS, FEATURES) float32
        M_fit.
    phases : dict of int to float
        Squared phase beyond which particles have sub-steps, see `coca.orbits`, for the numbers of
        steps that have them.
    residuals : dict of int to array (steps, K)
        Largest rms H^2 s over the particle spacing that the fit has seen.
    errors : dict of int to array (K,)
        Rms position error per component over the spacing that was left in the fit.
    error_fits : dict of int to array (2,)
        Amplitude and exponent of the error that is left, see `coca.trust`.
    fitted : FittedRange
    frame : {"lpt", "emulator"}
        The frame whose residuals were fitted.
    """

    def __init__(
        self,
        nodes: dict[int, np.ndarray],
        fractions: dict[int, np.ndarray],
        matrices: dict[int, np.ndarray],
        phases: dict[int, float],
        residuals: dict[int, np.ndarray],
        errors: dict[int, np.ndarray],
        error_fits: dict[int, np.ndarray],
        fitted: FittedRange,
        frame: str,
    ):
        self.nodes, self.fractions = nodes, fractions
        self.matrices, self.residuals, self.errors = matrices, residuals, errors
        self.phases = phases
        self.error_fits, self.fitted, self.frame = error_fits, fitted, frame

    @property
    def counts(self) -> list[int]:
        """Numbers of force evaluations that were fitted."""
        return sorted(self.matrices)

    def weights(self, count: int, nonlinearity: float) -> np.ndarray:
        """Weights of the nodes of `count` steps in linear interpolation, constant beyond the
        last."""
        return hats(self.nodes[count], nonlinearity)

    def steps_for(self, error: float, nonlinearity: float) -> int:
        """Fewest steps that left at most this rms error, in spacings; the most there are if none
        did."""
        left = {n: self.errors[n] @ self.weights(n, nonlinearity) for n in self.counts}
        return next((n for n in self.counts if left[n] <= error), self.counts[-1])

    def residual(self, steps: list[Step], nonlinearity: float, count: int) -> np.ndarray:
        """Largest rms residual acceleration that the fit of `count` steps saw, over the spacing.

        Parameters
        ----------
        steps : list of Step
            Of any run; the value is for the middle of each.
        nonlinearity : float
        count : int
        """
        own = edges(steps[0].D0, steps[-1].D1, self.fractions[count])
        s = self.residuals[count] @ self.weights(count, nonlinearity) / np.diff(own) ** 2
        return np.interp([step.D_mid for step in steps], 0.5 * (own[:-1] + own[1:]), s)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        tensors = {}
        for count in self.counts:
            tensors[f"nodes.{count}"] = np.asarray(self.nodes[count], np.float64)
            tensors[f"fractions.{count}"] = np.asarray(self.fractions[count], np.float64)
            tensors[f"matrices.{count}"] = np.ascontiguousarray(self.matrices[count], np.float32)
            tensors[f"residuals.{count}"] = np.ascontiguousarray(self.residuals[count], np.float32)
            tensors[f"errors.{count}"] = np.ascontiguousarray(self.errors[count], np.float32)
            tensors[f"error_fits.{count}"] = np.asarray(self.error_fits[count], np.float64)
        for count, phase in self.phases.items():
            tensors[f"phases.{count}"] = np.array([phase], np.float64)
        metadata = {
            "format": FORMAT,
            "frame": self.frame,
            "fitted": json.dumps(asdict(self.fitted)),
        }
        write_tensors(path, save_file, tensors, metadata)

    @classmethod
    def load(cls, path: Path) -> FittedSteps:
        """Read a file of `save`.

        Raises
        ------
        FileError
            The file is missing, damaged or not such a table.
        """
        try:
            metadata, tensors = read_tensors(path, "numpy")
            if metadata.get("format") != FORMAT:
                raise FileError(f"integrator.table: {path}: wanted format {FORMAT}")
            if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
                raise FileError(f"integrator.table: {path}: values that are not finite")
            parts: dict[str, dict[int, np.ndarray]] = {
                "nodes": {},
                "fractions": {},
                "matrices": {},
                "phases": {},
                "residuals": {},
                "errors": {},
                "error_fits": {},
            }
            for name, tensor in tensors.items():
                part, _, count = name.partition(".")
                parts[part][int(count)] = tensor
            if not parts["matrices"]:
                raise ValueError("no matrices")
            for count, matrices in parts["matrices"].items():
                nodes = parts["nodes"][count]
                if nodes.ndim != 1 or not np.all(np.diff(nodes) > 0):
                    raise ValueError(f"nodes.{count}: wanted increasing values")
                wanted = (count, len(nodes), *CLASSES, *MATRIX)
                if matrices.shape != wanted:
                    raise ValueError(f"matrices.{count}: {matrices.shape}, wanted {wanted}")
                fractions = parts["fractions"][count]
                if fractions.shape != (count + 1,) or not np.all(np.diff(fractions) > 0):
                    raise ValueError(f"fractions.{count}: wanted {count + 1} increasing values")
                if parts["residuals"][count].shape != (count, len(nodes)):
                    raise ValueError(f"residuals.{count}: wanted {(count, len(nodes))}")
                if parts["errors"][count].shape != (len(nodes),):
                    raise ValueError(f"errors.{count}: wanted {(len(nodes),)}")
                if parts["error_fits"][count].shape != (2,):
                    raise ValueError(f"error_fits.{count}: wanted an amplitude and an exponent")
            phases = {count: float(p.item()) for count, p in parts.pop("phases").items()}
            if not all(phase > 0 for phase in phases.values()):
                raise ValueError(f"phases: {phases}, wanted positive values")
            ranges = dict(json.loads(metadata["fitted"]))
            fitted = FittedRange(**{name: tuple(pair) for name, pair in ranges.items()})
            return cls(
                **parts,
                phases=phases,
                fitted=fitted,
                frame=metadata["frame"],
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise FileError(f"integrator.table: cannot use {path}: {reason}") from None


def explicit_matrix(step: Step) -> np.ndarray:
    """The matrix (TARGETS, FEATURES) of the explicit kick and the drift after it."""
    H = step.D1 - step.D0
    kick = np.array([0.0, step.alpha, -step.beta / H, 0.0])
    return np.array([np.array([1.0, 0, 0, 0]) + 0.5 * kick, kick])


def sharpened(matrices: np.ndarray, strength: float = SHARPENING) -> np.ndarray:
    """Matrices (*CLASSES, ...) that do as `matrices` of classes with sharp edges would when they go
    over from class to class, see `kernels.fitted`; at strength 1 each class keeps its mean."""
    before, now = unmixing(strength)
    flat = now @ matrices.reshape(*CLASSES, -1)
    return np.tensordot(before, flat, 1).reshape(matrices.shape)


@cache
def unmixing(strength: float = SHARPENING) -> tuple[np.ndarray, np.ndarray]:
    """What `sharpened` multiplies classes before and now by, square arrays."""

    def inverse(edges: np.ndarray) -> np.ndarray:
        full = np.linalg.inv(_mixing(edges))
        return strength * full + (1.0 - strength) * np.eye(len(full))

    return inverse(DENSITIES_BEFORE), inverse(DENSITIES)


def _mixing(edges: np.ndarray) -> np.ndarray:
    """Share (classes, classes) that each class's matrix has in the mean of another, for particles
    spread evenly in ln(1 + delta), the open classes one wide.

    In the half of a transition that lies in a class the other's share is a quarter, on average.
    """
    widths = np.concatenate([[1.0], np.diff(np.log(edges.astype(np.float64))), [1.0]])
    share = 0.25 * kernels.fitted.RAMP / widths
    mixing = np.diag(share[:-1], 1) + np.diag(share[1:], -1)
    return mixing + np.diag(1.0 - mixing.sum(axis=1))


def hats(nodes: np.ndarray, value: float) -> np.ndarray:
    """Weights of linear interpolation on `nodes`, constant beyond them."""
    return np.array([np.interp(value, nodes, row) for row in np.eye(len(nodes))])


def nonlinearity(domain: Domain, delta_k: np.ndarray, D_end: float) -> float:
    """ln(D_end sigma), sigma the rms of linear density modes (n, n, n//2+1) at D = 1."""
    power = np.zeros(delta_k.shape[2])
    for planes in np.array_split(delta_k, -(-delta_k.size // MODES_AT_A_TIME)):
        squares = np.square(planes.real) + np.square(planes.imag)
        power += squares.sum(axis=(0, 1), dtype=np.float64)
    inner = slice(1, -1 if domain.n % 2 == 0 else None)
    variance = domain.sum(float(power.sum() + power[inner].sum()))
    return float(np.log(max(D_end * np.sqrt(variance), 1e-6)))


class FittedKick:
    """Takes the residual to the end of the step, displacement and velocity.

    Parameters
    ----------
    domain : Domain
    cosmology : Cosmology
    frame : Frame
    table : FittedSteps
    steps : sequence of Step
        All steps of the run, with the table's edges.
    nonlinearity : float
        See `nonlinearity`.
    """

    needs_density = True
    moves = True

    def __init__(
        self,
        domain: Domain,
        cosmology: Cosmology,
        frame: Frame,
        table: FittedSteps,
        steps: list[Step],
        nonlinearity: float,
    ):
        self.domain, self.cosmology, self.frame, self.steps = domain, cosmology, frame, steps
        deviations = np.einsum(
            "k,sk...->s...", table.weights(len(steps), nonlinearity), table.matrices[len(steps)]
        )
        self._matrices = [
            np.ascontiguousarray(explicit_matrix(step) + sharpened(deviation), np.float32)
            for step, deviation in zip(steps, deviations, strict=True)
        ]
        self._follow = Followers(domain, cosmology, frame, steps, table.phases.get(len(steps)))
        n, nobody = frame.n_particles, orbits.nobody()
        self.memory = {
            "before": np.zeros((3, n), np.float32),
            "delta_before": np.full(n, -1.0, np.float32),
            "who": nobody.who,
            "ahead": nobody.ahead,
        }

    def aim(self, x: np.ndarray) -> None:
        """Particles that had sub-steps are where those lead."""
        kernels.orbits.add_at(self.memory["ahead"], self.memory["who"], x)

    def __call__(self, state: State, step: Step, acceleration: Acceleration) -> Evaluation:
        """Advance the residual, turning g into s / c; say what the force showed."""
        H, c = step.D1 - step.D0, self.cosmology.c(step.D_mid)
        s_c, delta = acceleration.g, acceleration.delta
        self.frame.add(step.D_mid, (0.0, step.D_mid, 1.0 / c), s_c)
        sub_steps = self._follow(state, step, acceleration, c)
        sums = kernels.fitted.step(
            state.e,
            state.w,
            s_c,
            self.memory["before"],
            delta,
            self.memory["delta_before"],
            DENSITIES,
            DENSITIES_BEFORE,
            self._matrices[self.steps.index(step)],
            H,
            c,
        )
        sub_steps.add_to(state)
        self.memory["who"], self.memory["ahead"] = sub_steps.who, sub_steps.ahead
        self.memory["delta_before"] = delta
        return evaluation_of(self.domain, step, c, sums)
