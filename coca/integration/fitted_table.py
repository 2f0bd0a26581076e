"""The table of fitted steps: what `coca fit` finds and `coca.integration.fitted_kick`
takes, and its file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from coca import kernels
from coca.cosmology.background import Cosmology
from coca.errors import FileError, reason
from coca.files.safetensors import read_tensors, write_tensors
from coca.integration.linear_density import LinearDensity
from coca.integration.read_out import ReadOutNetwork
from coca.integration.schemes import Step, step_boundaries

if TYPE_CHECKING:
    from coca.configuration.fitting import FitConfig

FORMAT = "coca-steps-8"
DENSITIES = np.array(
    [0.3, 0.5, 0.75, 1, 1.5, 2.5, 4, 7, 12, 20, 35, 70, 150], np.float32
)  # fmt: skip
"""Edges in 1 + delta of the density classes now."""
DENSITIES_BEFORE = np.array([0.6, 1.2, 3, 10, 40], np.float32)
"""Edges in 1 + delta of the density classes a step before."""
CLASSES = len(DENSITIES_BEFORE) + 1, len(DENSITIES) + 1
MATRIX = kernels.constants.TARGETS, kernels.constants.FEATURES
PARTS = {
    "nodes": np.float64,
    "fractions": np.float64,
    "matrices": np.float32,
    "residuals": np.float32,
    "errors": np.float32,
    "error_fit": np.float64,
}
"""Arrays of the file for each number of force evaluations, with their type."""
THRESHOLD = "substep_threshold"
"""Name in the file of a squared phase, where there are sub-steps."""
RANGES = "ranges"
"""Name in the file of what the slope and D_end range over, where matrices depend on them."""
SHARES = "shares"
"""Name in the file of how much of a network's displacements is taken."""
LIMITS = 0.2, 1.5
"""Least and most of them that is taken."""
NETWORK = "network_"
"""With what follows, names in the file of the arrays of a read-out network."""
TILTS = 4
"""Matrices beside those on the nodes: for the slope and for D_end, at the first and last node."""
SHIPPED = Path(__file__).parent.parent / "tables"


def shipped(name: str) -> Path:
    """A table that comes with the package: "lpt", in the frame of 2LPT, "lpt_3x", the same on a
    mesh of three times the particles, and "emulator", in the shipped emulator's, to N-body;
    "lpt_pm" and "emulator_pm" to what the mesh's force converges to."""
    return SHIPPED / f"{name}.safetensors"


def beyond_lambda(cosmology: Cosmology, what: str) -> list[str]:
    """A line where dark energy is not the cosmological constant that something has seen alone."""
    if cosmology.background.is_lambda:
        return []
    return [
        f"cosmology.w0, wa = {cosmology.w0:g}, {cosmology.wa:g}: {what} have seen Lambda alone, "
        "-1, 0; how far they serve another dark energy has not been measured"
    ]


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
    """Redshift of the start."""

    @classmethod
    def of(cls, config: FitConfig) -> FittedRange:
        """The range of a fit's configuration."""
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
        ] + beyond_lambda(cosmology, "the fitted steps")


@dataclass(frozen=True)
class FittedCount:
    """The fitted steps of one number of force evaluations, on nodes of ln(D_end sigma).

    There are K matrices for each step, see `basis`: on N nodes, and tilts if there are `ranges`.
    """

    nodes: np.ndarray
    """Increasing values of ln(D_end sigma), array (N,)."""
    fractions: np.ndarray
    """Boundaries of the steps, array (steps + 1,), see
    `coca.integration.schemes.step_boundaries`."""
    matrices: np.ndarray
    """M_fit, array (steps, K, *CLASSES, TARGETS, FEATURES) float32."""
    residuals: np.ndarray
    """Largest rms H^2 s over the particle spacing that the fit has seen, array (steps, N)."""
    errors: np.ndarray
    """Rms position error per component over the spacing that was left in the fit, array (N,)."""
    error_fit: np.ndarray
    """Amplitude and exponent of the error that is left, array (2,), see
    `coca.integration.error_estimate`."""
    substep_threshold: float | None = None
    """Squared phase beyond which particles have sub-steps, see `coca.integration.substeps`."""
    ranges: np.ndarray | None = None
    """Least and largest slope and ln D_end of the fit, array (2, 2), where it has tilts."""
    network: ReadOutNetwork | None = None
    """What says where particles are seen at the last step's end, if not there where the steps
    have brought them."""
    shares: np.ndarray | None = None
    """How much of the network's displacements is taken, array (K,): what makes the power right on
    average over the fit."""

    def weights(self, density: LinearDensity) -> np.ndarray:
        """Weights (K,) of the matrices for a run that ends with this density."""
        return basis(self.nodes, self.ranges, density)

    def at(self, density: LinearDensity) -> np.ndarray:
        """M_fit of each step, array (steps, *CLASSES, TARGETS, FEATURES)."""
        return np.einsum("k,sk...->s...", self.weights(density), self.matrices)

    def last_at(self, density: LinearDensity) -> np.ndarray:
        """M_fit of the last step, array (*CLASSES, TARGETS, FEATURES)."""
        return np.einsum("k,k...->...", self.weights(density), self.matrices[-1])

    def conditions(self, density: LinearDensity) -> np.ndarray:
        """Conditions (3,) of the network: ln(D_end sigma), slope and ln D_end, within the fit."""
        values = np.array([density.log_rms, density.slope, np.log(density.D)])
        low, high = np.full(3, -np.inf), np.full(3, np.inf)
        low[0], high[0] = self.nodes[0], self.nodes[-1]
        if self.ranges is not None:
            low[1:], high[1:] = self.ranges
        return np.clip(values, low, high)

    def share(self, density: LinearDensity) -> float:
        """How much of the network's displacements is taken in a run that ends with this density."""
        if self.shares is None:
            return 1.0
        return float(np.clip(self.weights(density) @ self.shares, *LIMITS))

    def begins(self, other: FittedCount) -> bool:
        """Whether a run with these steps takes the first steps of a run with the other ones."""
        n, share = len(self.fractions) - 1, other.fractions[len(self.fractions) - 1]
        return self.substep_threshold == other.substep_threshold and np.allclose(
            self.fractions * share, other.fractions[: n + 1], rtol=0.0, atol=1e-6
        )

    def error(self, density: LinearDensity) -> float:
        """Rms error that was left in the fit, in spacings."""
        return float(self.errors @ hats(self.nodes, density.log_rms))

    def residual(self, steps: list[Step], density: LinearDensity) -> np.ndarray:
        """Largest rms residual acceleration that the fit saw, over the spacing.

        Parameters
        ----------
        steps : list of Step
            Of any run; the value is for the middle of each.
        density : LinearDensity
            At the last output.
        """
        own = step_boundaries(steps[0].D0, steps[-1].D1, self.fractions)
        s = self.residuals @ hats(self.nodes, density.log_rms) / np.diff(own) ** 2
        return np.interp([step.D_mid for step in steps], 0.5 * (own[:-1] + own[1:]), s)

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything as arrays, as in the file."""
        tensors = {name: np.asarray(getattr(self, name), kind) for name, kind in PARTS.items()}
        if self.substep_threshold is not None:
            tensors[THRESHOLD] = np.array([self.substep_threshold], np.float64)
        if self.ranges is not None:
            tensors[RANGES] = np.asarray(self.ranges, np.float64)
        if self.network is not None:
            tensors |= {NETWORK + name: array for name, array in vars(self.network).items()}
        if self.shares is not None:
            tensors[SHARES] = np.asarray(self.shares, np.float32)
        return tensors

    def check(self, steps: int) -> None:
        """Raise ValueError, which names the part, if these are not matrices for as many steps and
        what belongs to them."""
        N = len(self.nodes)
        K = N if self.ranges is None else N + TILTS
        shapes = {
            "nodes": (N,),
            "fractions": (steps + 1,),
            "matrices": (steps, K, *CLASSES, *MATRIX),
            "residuals": (steps, N),
            "errors": (N,),
            "error_fit": (2,),
        }
        if self.ranges is not None:
            shapes[RANGES] = (2, 2)
        if self.network is not None:
            shapes |= {NETWORK + name: shape for name, shape in self.network.shapes().items()}
        if self.shares is not None:
            shapes[SHARES] = (K,)
        tensors = self.tensors()
        for part, wanted in shapes.items():
            found = tensors[part]
            if found.shape != wanted:
                raise ValueError(f"{part}.{steps}: found shape {found.shape}, wanted {wanted}")
            if not np.isfinite(found).all():
                raise ValueError(f"{part}.{steps}: found values that are not finite")
            if part in ("nodes", "fractions") and not np.all(np.diff(found) > 0):
                raise ValueError(f"{part}.{steps}: wanted increasing values")
        if self.substep_threshold is not None and not 0 < self.substep_threshold < np.inf:
            raise ValueError(
                f"{THRESHOLD}.{steps}: found {self.substep_threshold}, wanted a positive value"
            )


@dataclass(frozen=True)
class FittedSteps:
    """The fitted steps of a frame, for some numbers of force evaluations."""

    frame: str
    """The frame whose residuals were fitted: lpt or emulator."""
    truth: str
    """What runs are to end as: nbody or bullfrog, see `coca.configuration.fitting.FitConfig`."""
    fitted: FittedRange
    by_count: dict[int, FittedCount]
    refinement: int = 2
    """Cells of the force's mesh to a particle spacing."""

    @property
    def counts(self) -> list[int]:
        """Numbers of force evaluations that were fitted."""
        return sorted(self.by_count)

    @property
    def with_substeps(self) -> list[int]:
        """Numbers of force evaluations whose steps have sub-steps."""
        return [n for n in self.counts if self.by_count[n].substep_threshold is not None]

    def shorter(self, count: int) -> list[FittedCount]:
        """The fitted steps that end with the first of `count` steps, the second and so on, as far
        as they are the same.

        Boundaries (i/n)^p are the same for all n but for where they end, so that what was fitted
        to end there reads out what goes on.
        """
        longest = self.by_count[count]
        found: list[FittedCount] = []
        for n in range(1, count):
            if n not in self.by_count or not self.by_count[n].begins(longest):
                break
            found.append(self.by_count[n])
        return found

    def longer(self, count: int) -> FittedCount | None:
        """The fitted steps that go on after the last of `count` with one more, if the others are
        the same."""
        one_more = self.by_count.get(count + 1)
        if one_more is None or not self.by_count[count].begins(one_more):
            return None
        return one_more

    def steps_for(self, error: float, density: LinearDensity) -> int:
        """Fewest steps that left at most this rms error, in spacings; the most there are if none
        did."""
        enough = (n for n in self.counts if self.by_count[n].error(density) <= error)
        return next(enough, self.counts[-1])

    def least_error(self, density: LinearDensity) -> float:
        """Rms error, in spacings, of the number of steps that left least in the fit."""
        return min(self.by_count[n].error(density) for n in self.counts)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        tensors = {
            f"{part}.{count}": np.ascontiguousarray(tensor)
            for count, steps in self.by_count.items()
            for part, tensor in steps.tensors().items()
        }
        metadata = {
            "format": FORMAT,
            "frame": self.frame,
            "truth": self.truth,
            "fitted": json.dumps(asdict(self.fitted)),
            "refinement": str(self.refinement),
        }
        write_tensors(path, save_file, tensors, metadata)

    @classmethod
    def load(cls, path: Path, key: str = "table") -> FittedSteps:
        """Read a file of `save`; errors name the key of the configuration that says it.

        Raises
        ------
        FileError
            The file is missing, damaged or not such a table.
        """
        try:
            metadata, tensors = read_tensors(path, "numpy")
            if metadata.get("format") != FORMAT:
                found = metadata.get("format")
                raise FileError(f"{key}: {path}: found format {found}, wanted {FORMAT}")
            ranges = dict(json.loads(metadata["fitted"]))
            fitted = FittedRange(**{name: tuple(pair) for name, pair in ranges.items()})
            frame, truth = metadata["frame"], metadata["truth"]
            return cls(frame, truth, fitted, _by_count(tensors), int(metadata["refinement"]))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise FileError(f"{key}: cannot use {path}: {reason(error)}") from None


def _by_count(tensors: dict[str, np.ndarray]) -> dict[int, FittedCount]:
    """The steps in a file's tensors; ValueError if they are not whole."""
    found: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        part, _, number = name.partition(".")
        found.setdefault(int(number), {})[part] = tensor
    if not found:
        raise ValueError("no matrices")
    by_count = {}
    for count, parts in found.items():
        missing = [part for part in PARTS if part not in parts]
        if missing:
            raise ValueError(f"{missing[0]}.{count}: missing")
        if THRESHOLD in parts:
            parts[THRESHOLD] = float(parts[THRESHOLD].item())
        network = {name: parts.pop(NETWORK + name, None) for name in ReadOutNetwork.names()}
        unknown = sorted(parts.keys() - {*PARTS, THRESHOLD, RANGES, SHARES})
        if unknown:
            raise ValueError(f"{unknown[0]}.{count}: found, wanted no such part")
        if any(array is not None for array in network.values()):
            absent = [NETWORK + name for name, array in network.items() if array is None]
            if absent:
                raise ValueError(f"{absent[0]}.{count}: missing")
            parts["network"] = ReadOutNetwork(**network)
        by_count[count] = FittedCount(**parts)
        by_count[count].check(count)
    return by_count


def hats(nodes: np.ndarray, value: float) -> np.ndarray:
    """Weights of linear interpolation on `nodes`, constant beyond them."""
    return np.array([np.interp(value, nodes, row) for row in np.eye(len(nodes))])


def basis(nodes: np.ndarray, ranges: np.ndarray | None, density: LinearDensity) -> np.ndarray:
    """Weights (K,) of matrices: `hats` of ln(D_end sigma) on the nodes and, with ranges (2, 2), of
    `TILTS`, which are linear in the slope and in ln D_end within them."""
    on_nodes = hats(nodes, density.log_rms)
    if ranges is None:
        return on_nodes
    values = np.array([density.slope, np.log(density.D)])
    middle, width = ranges.mean(axis=1), np.maximum(np.ptp(ranges, axis=1), 1e-3)
    across = np.clip((values - middle) / width, -0.5, 0.5)
    along = hats(nodes[[0, -1]], density.log_rms)
    return np.concatenate([on_nodes, np.outer(across, along).ravel()])
