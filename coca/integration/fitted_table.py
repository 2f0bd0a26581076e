"""The table of fitted steps: what `coca.commands.fit` finds and `coca.integration.fitted_kick` takes, and its file."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from coca import kernels
from coca.cosmology.background import Cosmology
from coca.errors import FileError
from coca.files.safetensors import read_tensors, write_tensors
from coca.integration.schemes import Step, edges

if TYPE_CHECKING:
    from coca.configuration.fitting import FitConfig

FORMAT = "coca-steps-4"
DENSITIES = np.array(
    [0.3, 0.5, 0.75, 1, 1.5, 2.5, 4, 7, 12, 20, 35, 70, 150], np.float32
)  # fmt: skip
"""Edges in 1 + delta of the density classes now."""
DENSITIES_BEFORE = np.array([0.6, 1.2, 3, 10, 40], np.float32)
"""Edges in 1 + delta of the density classes a step before."""
CLASSES = len(DENSITIES_BEFORE) + 1, len(DENSITIES) + 1
MATRIX = kernels.fitted.TARGETS, kernels.fitted.FEATURES
PARTS = "nodes", "fractions", "matrices", "phases", "residuals", "errors", "error_fits"
"""Of a table, for each number of steps."""
SHIPPED = Path(__file__).parent.parent / "tables"


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
        Edges of the steps, see `coca.integration.schemes.edges`.
    matrices : dict of int to array (steps, K, *CLASSES, TARGETS, FEATURES) float32
        M_fit.
    phases : dict of int to float
        Squared phase beyond which particles have sub-steps, see `coca.integration.substeps`, for the numbers of
        steps that have them.
    residuals : dict of int to array (steps, K)
        Largest rms H^2 s over the particle spacing that the fit has seen.
    errors : dict of int to array (K,)
        Rms position error per component over the spacing that was left in the fit.
    error_fits : dict of int to array (2,)
        Amplitude and exponent of the error that is left, see `coca.integration.error_estimate`.
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
                found = metadata.get("format")
                raise FileError(f"integrator.table: {path}: found format {found}, wanted {FORMAT}")
            parts: dict[str, dict[int, Any]] = {part: {} for part in PARTS}
            for name, tensor in tensors.items():
                part, _, count = name.partition(".")
                parts[part][int(count)] = tensor
            parts["phases"] = {count: float(p.item()) for count, p in parts["phases"].items()}
            ranges = dict(json.loads(metadata["fitted"]))
            fitted = FittedRange(**{name: tuple(pair) for name, pair in ranges.items()})
            table = cls(**parts, fitted=fitted, frame=metadata["frame"])
            table._check()
            return table
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise FileError(f"integrator.table: cannot use {path}: {reason}") from None

    def _check(self) -> None:
        """Raise ValueError if these are not matrices for steps and what belongs to
        them."""
        if not self.counts:
            raise ValueError("no matrices")
        for part, count in itertools.product(PARTS, self.counts):
            if part != "phases" and count not in getattr(self, part):
                raise ValueError(f"{part}.{count}: missing")
        for count in self.counts:
            K = len(self.nodes[count])
            shapes = {
                "nodes": (K,),
                "fractions": (count + 1,),
                "matrices": (count, K, *CLASSES, *MATRIX),
                "residuals": (count, K),
                "errors": (K,),
                "error_fits": (2,),
            }
            for part, wanted in shapes.items():
                found = getattr(self, part)[count]
                if found.shape != wanted:
                    raise ValueError(f"{part}.{count}: found shape {found.shape}, wanted {wanted}")
                if not np.isfinite(found).all():
                    raise ValueError(f"{part}.{count}: found values that are not finite")
                if part in ("nodes", "fractions") and not np.all(np.diff(found) > 0):
                    raise ValueError(f"{part}.{count}: wanted increasing values")
        if not all(0 < phase < np.inf for phase in self.phases.values()):
            raise ValueError(f"phases: found {self.phases}, wanted positive values")
        if not self.phases.keys() <= self.matrices.keys():
            raise ValueError(f"phases: found {sorted(self.phases)}, wanted some of {self.counts}")


def hats(nodes: np.ndarray, value: float) -> np.ndarray:
    """Weights of linear interpolation on `nodes`, constant beyond them."""
    return np.array([np.interp(value, nodes, row) for row in np.eye(len(nodes))])
