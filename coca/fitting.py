"""Fit of the steps of `coca.fitted` on simulations: least squares, and the last on the density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.stats import qmc

import kernels.fitted
from coca import initial, schemes
from coca.analysis import density_modes
from coca.config import FitConfig
from coca.cosmology import Cosmology, scale_factor
from coca.domain import Domain
from coca.fitted import (
    CLASSES,
    DENSITIES,
    DENSITIES_BEFORE,
    FittedRange,
    FittedSteps,
    explicit_matrix,
    hats,
    nonlinearity,
    step_exponent,
)
from coca.force import ParticleMesh
from coca.frames import Frame, rest_frame
from coca.integrate import State, VelocityKick, drift, hermite, initial_state, integrate
from coca.power import linear_power
from coca.schemes import Step

SHRINKAGE = 3000.0
"""Particles whose say the coarser fit has in the finer: all classes in one, each density class,
each with its nonlinearity, each with its density before."""
POWER_WEIGHT = 3.0
"""Weight of (P / P_true - 1)^2 beside 1 - r in the fit of the last step."""
SHELL = 2.0
"""Width in fundamental wavenumbers of the shells of that fit."""


class Truth:
    """A converged simulation, known at any growth factor by Hermite interpolation."""

    def __init__(self, domain: Domain, force: ParticleMesh, cosmology, seed, config: FitConfig):
        self.domain, self.cosmology, self.force = domain, cosmology, force
        power = linear_power(cosmology, "eisenstein_hu")
        self.conditions = initial.from_seed(domain, power, seed)
        self.D_start = float(cosmology.D1(scale_factor(config.redshift)))
        lpt, rest = self.conditions.lpt_frame(cosmology), rest_frame(domain.particles)
        start = initial_state(lpt, rest, self.D_start)
        self.states = [State(start.e.copy(), start.w.copy(), self.D_start, self.D_start)]
        steps = schemes.bullfrog(cosmology, self.D_start, 1.0, config.reference_steps)
        times = np.linspace(self.D_start, 1.0, config.times + 1)[1:]
        for s in integrate(domain, rest, force, VelocityKick(), steps, start, times):
            self.states.append(State(s.disp, s.vel, s.D, s.D))

    def at(self, D: float) -> tuple[np.ndarray, np.ndarray]:
        """Displacements and velocities."""
        edges = [state.D_e for state in self.states]
        i = int(np.clip(np.searchsorted(edges, D), 1, len(edges) - 1))
        return hermite(self.states[i - 1], self.states[i], D)


@dataclass
class Member:
    """One simulation to one final growth factor, as far as the steps have taken it."""

    truth: Truth
    frame: Frame
    D_end: float
    weights: np.ndarray
    """Of the nodes of nonlinearity."""

    def start(self, count: int) -> None:
        """Go back to the start, with `count` steps ahead."""
        truth, n = self.truth, self.truth.domain.particles
        cosmology = truth.cosmology
        self.steps = schemes.residual(
            cosmology, truth.D_start, self.D_end, count, step_exponent(count)
        )
        lpt = truth.conditions.lpt_frame(cosmology)
        self.state = initial_state(lpt, self.frame, truth.D_start)
        self.before = np.zeros((3, n), np.float32)
        self.now_class, self.before_class = np.zeros(n, np.uint8), np.zeros(n, np.uint8)
        self.next_class = np.zeros(n, np.uint8)
        self.errors: list[float] = []

    def evaluate(self, step: Step) -> None:
        """Measure the residual acceleration in the middle of a step."""
        truth, state, D = self.truth, self.state, step.D_mid
        self.H, self.c = step.D1 - step.D0, truth.cosmology.c(D)
        drift(state, D)
        x = state.e.copy()
        self.frame.add(D, (1.0, 0.0, 0.0), x)
        self.s, delta = truth.force(truth.domain.add_lattice(x, out=x), True, x)
        self.frame.add(D, (0.0, D, 1.0 / self.c), self.s)
        kernels.fitted.classify(delta, DENSITIES, self.now_class)
        kernels.fitted.classify(delta, DENSITIES_BEFORE, self.next_class)
        squares, error = kernels.fitted.residual_sums(
            self.s, delta, self.c / 3.0 * 0.25 * self.H**2
        )
        n = truth.domain.particles
        self.residual = self.H**2 * self.c * np.sqrt(squares / n) / truth.domain.cell
        self.errors.append(0.25 * self.H**2 * self.c * np.sqrt(error / n / 3.0))

    @cached_property
    def true_modes(self) -> np.ndarray:
        """Density modes that the run should end with."""
        domain = self.truth.domain
        x = domain.add_lattice(self.truth.at(self.D_end)[0])
        return density_modes(domain, x, 2 * domain.n)

    def target(self, D: float) -> tuple[np.ndarray, np.ndarray]:
        """The true residual at D."""
        e, w = self.truth.at(D)
        self.frame.add(D, (-1.0, 0.0, 0.0), e)
        self.frame.add(D, (0.0, -1.0, 0.0), w)
        return e, w

    def moments(self, step: Step) -> tuple[np.ndarray, np.ndarray]:
        """See `kernels.fitted.moments`; the targets are what the explicit step leaves."""
        e, w = self.target(step.D1)
        kicked = np.float32(step.alpha) * self.state.w - np.float32(self.c * step.beta) * self.s
        e -= self.state.e + np.float32(0.5 * self.H) * kicked
        return kernels.fitted.moments(*self._features, self.H, self.c, e, w - kicked, CLASSES)

    def error(self, D: float) -> float:
        """Rms error per component of the residual displacement, Mpc/h."""
        return float(np.std((self.state.e - self.target(D)[0]).astype(np.float64)))

    def advance(self, step: Step, matrices: np.ndarray) -> None:
        """Take the step with matrices on the nodes."""
        mine = explicit_matrix(step) + np.einsum("k,k...->...", self.weights, matrices)
        mine = np.ascontiguousarray(mine, np.float32)
        kernels.fitted.step(*self._features, mine, self.H, self.c)
        self.before_class, self.next_class = self.next_class, self.before_class
        self.state.D_e = self.state.D_w = step.D1

    def displacement(self, rows: torch.Tensor) -> torch.Tensor:
        """Residual displacement (3, N) at the end of the last step, with derivatives.

        Parameters
        ----------
        rows : tensor (nodes, *CLASSES, FEATURES)
            Deviations from the explicit row for e.
        """
        H, step = np.float32(self.H), self.steps[-1]
        impulse = np.float32(self.H**2 * self.c)
        features = torch.from_numpy(
            np.stack([self.state.e, H * self.state.w, impulse * self.s, self.before])
        )
        explicit = torch.from_numpy(explicit_matrix(step)[0].astype(np.float32))
        mine = explicit + torch.einsum("k,k...->...", torch.from_numpy(self.weights), rows)
        number = self.before_class.astype(np.int64) * CLASSES[1] + self.now_class
        per_particle = mine.reshape(-1, mine.shape[-1])[torch.from_numpy(number)]
        return torch.einsum("pf,fcp->cp", per_particle, features)

    @property
    def _features(self):
        state = self.state
        return state.e, state.w, self.s, self.before, self.now_class, self.before_class


def fit(config: FitConfig, threads: int, frame_of: Callable, report=print) -> FittedSteps:
    """Run the simulations of a configuration and fit all numbers of steps.

    Parameters
    ----------
    config : FitConfig
    threads : int
    frame_of : callable
        Gives the frame of a `Truth`.
    report : callable
        Gets a line of progress.
    """
    torch.set_num_threads(threads)
    members = make_members(config, threads, frame_of, report)
    values = np.array([value for _, value in members])
    nodes = np.linspace(values.min(), values.max(), config.nodes)
    members = [member for member, _ in members]
    for member, value in zip(members, values, strict=True):
        member.weights = hats(nodes, value).astype(np.float32)
    weights = [member.weights for member in members]
    matrices, residuals, errors, pairs = {}, {}, {}, []
    for count in range(1, config.force_evaluations + 1):
        matrices[count], residuals[count] = fit_count(members, count, config)
        left = [member.true_error / member.truth.domain.cell for member in members]
        errors[count] = np.linalg.lstsq(np.array(weights), np.array(left), rcond=None)[0]
        pairs += [(member.true_error, member.measured_error) for member in members]
        report(
            f"{count} force evaluations: rms error {np.mean([m.true_error for m in members]):.3f}"
            " Mpc/h"
        )
    true, measured = np.log(np.array(pairs).T)
    exponent, offset = np.polyfit(measured, true, 1)
    fitted = FittedRange(
        config.spacing,
        config.cosmology.Omega_m,
        config.cosmology.sigma_8,
        (min(config.growth_factors), 1.0),
    )
    error_fit = float(np.exp(offset)), float(exponent)
    return FittedSteps(nodes, matrices, residuals, errors, error_fit, fitted)


def make_members(config: FitConfig, threads: int, frame_of, report):
    """Members with their nonlinearities."""
    ranges = {**config.cosmology.model_dump(), "spacing": np.log(config.spacing)}
    low, high = np.array(list(ranges.values())).T
    points = qmc.LatinHypercube(len(low), rng=config.seed).random(config.simulations)
    members = []
    for i, point in enumerate(low + points * (high - low)):
        *parameters, log_spacing = map(float, point)
        cosmology = Cosmology(*parameters)
        domain = Domain(config.particles * np.exp(log_spacing), config.particles, threads)
        force = ParticleMesh(domain, 2 * config.particles)
        truth = Truth(domain, force, cosmology, config.seed + i, config)
        frame = frame_of(truth)
        for D_end in config.growth_factors:
            value = nonlinearity(domain, truth.conditions.delta_k, D_end)
            members.append((Member(truth, frame, D_end, np.empty(0)), value))
        report(f"simulation {i + 1} of {config.simulations}")
    return members


def fit_count(members: list[Member], count: int, config: FitConfig):
    """Matrices of all of `count` steps, and the residuals that they met."""
    for member in members:
        member.start(count)
    matrices, residuals = [], []
    for i in range(count):
        for member in members:
            member.evaluate(member.steps[i])
        moments = [member.moments(member.steps[i]) for member in members]
        M = least_squares(moments, [member.weights for member in members])
        if i == count - 1:
            M = fit_density(members, moments, M, config)
        for member in members:
            member.advance(member.steps[i], M)
        matrices.append(M)
        residuals.append(_on_nodes([m.residual for m in members], [m.weights for m in members]))
    for member in members:
        member.true_error = member.error(member.D_end)
        member.measured_error = float(np.sqrt(np.mean(np.square(member.errors))))
    return np.array(matrices, np.float32), np.array(residuals, np.float32)


def _on_nodes(values, weights) -> np.ndarray:
    """Largest value near each node."""
    values, near = np.array(values), np.array(weights).T > 0
    return np.array([values[row].max() if row.any() else values.max() for row in near])


def least_squares(moments, weights) -> np.ndarray:
    """Matrices (nodes, *CLASSES, TARGETS, FEATURES) from the moments of all members.

    Each finer fit is drawn to the coarser one by `SHRINKAGE` particles.
    """
    F = kernels.fitted.FEATURES
    sums = np.array([s for s, _ in moments])
    counts = np.array([n for _, n in moments]).sum(axis=(0, 1))
    h = np.array(weights)
    K = h.shape[1]
    per_class = sums.sum(axis=(0, 1))
    A, B = per_class[..., :F], per_class[..., F:]
    X = _solve(A.sum(axis=0), B.sum(axis=0))
    prior = SHRINKAGE * A / np.maximum(counts, 1)[:, None, None]
    X = np.array([_solve(a + p, b + p @ X) for a, b, p in zip(A, B, prior, strict=True)])
    out = np.empty((K, *CLASSES, F, kernels.fitted.TARGETS))
    for k in range(CLASSES[1]):
        draw = np.kron(np.eye(K), prior[k])
        at_nodes = np.tile(X[k], (K, 1))
        both = np.einsum("ma,mb,mij->aibj", h, h, sums[:, :, k].sum(axis=1)[..., :F])
        right = np.einsum("ma,mij->aij", h, sums[:, :, k].sum(axis=1)[..., F:])
        coarse = _solve(
            both.reshape(K * F, K * F) + draw, right.reshape(K * F, -1) + draw @ at_nodes
        )
        for b in range(CLASSES[0]):
            both = np.einsum("ma,mb,mij->aibj", h, h, sums[:, b, k, :, :F]).reshape(K * F, K * F)
            right = np.einsum("ma,mij->aij", h, sums[:, b, k, :, F:]).reshape(K * F, -1)
            X_bk = _solve(both + draw, right + draw @ coarse)
            out[:, b, k] = X_bk.reshape(K, F, -1)
    return np.moveaxis(out, -1, -2)


def _solve(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Least squares with features that may vanish."""
    scale = np.sqrt(np.maximum(np.diag(A), 1e-12 * max(np.trace(A), 1e-12)))
    scaled = A / scale[:, None] / scale + 1e-7 * np.eye(len(A))
    return np.linalg.solve(scaled, B / scale[:, None]) / scale[:, None]


def fit_density(
    members: list[Member], moments, matrices: np.ndarray, config: FitConfig
) -> np.ndarray:
    """The last step's matrices with the row for e fitted to power and correlation by Adam.

    The unknowns are the changes of the row's elements in units of what changes positions by
    their error.
    """
    rng = np.random.default_rng(config.seed)
    squares = sum(np.diagonal(s, axis1=-2, axis2=-1).sum(axis=0) for s, _ in moments)
    rms = np.sqrt(squares / sum(n.sum(axis=0) for _, n in moments).clip(1)[:, None] / 3.0)
    error = np.mean([_error_after(member, matrices) for member in members])
    unit = torch.from_numpy(np.float32(error / np.maximum(rms, 1e-3 * rms.max())))
    start = torch.from_numpy(matrices[..., 0, :].astype(np.float32))
    change = torch.zeros_like(start, requires_grad=True)
    optimiser = torch.optim.Adam([change], config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.iterations)
    order = [rng.permutation(len(members)) for _ in range(config.iterations // len(members) + 1)]
    for number in np.concatenate(order)[: config.iterations]:
        loss = density_loss(members[number], start + change * unit)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    fitted = matrices.copy()
    fitted[..., 0, :] = (start + change.detach() * unit).numpy()
    return fitted


def _error_after(member: Member, matrices: np.ndarray) -> float:
    """Rms error of the displacement that the last step with these matrices would leave."""
    rows = torch.from_numpy(matrices[..., 0, :].astype(np.float32))
    e = member.displacement(rows).numpy()
    return float(np.std((e - member.target(member.D_end)[0]).astype(np.float64)))


def density_loss(member: Member, rows: torch.Tensor) -> torch.Tensor:
    """Mean over shells of POWER_WEIGHT (P / P_true - 1)^2 + 1 - r, to the lattice's Nyquist k,
    of particles that take their last step with `rows` (nodes, *CLASSES, FEATURES)."""
    domain, D = member.truth.domain, member.D_end
    mesh = 2 * domain.n
    lattice = domain.add_lattice(member.frame.displacement(D))
    positions = torch.from_numpy(lattice) + member.displacement(rows)
    modes = torch_density_modes(positions, mesh, domain.box_size)
    true = torch.from_numpy(member.true_modes)
    shell, weight = _shells(mesh)
    keep = slice(1, int(domain.n / 2 / SHELL))

    def power(a, b):
        product = ((a.real * b.real + a.imag * b.imag) * weight).reshape(-1)
        sums = torch.zeros(int(shell.max()) + 1).index_add(0, shell, product)
        return sums[keep]

    P, P_true, cross = power(modes, modes), power(true, true), power(modes, true)
    return (POWER_WEIGHT * (P / P_true - 1) ** 2 + 1 - cross / torch.sqrt(P * P_true)).mean()


_SHELLS: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}


def _shells(mesh: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Shell of each mode, flat, and how often each column of modes counts."""
    if mesh not in _SHELLS:
        i = torch.fft.fftfreq(mesh, 1 / mesh)
        k = torch.arange(mesh // 2 + 1.0)
        length = torch.sqrt(i[:, None, None] ** 2 + i[None, :, None] ** 2 + k**2)
        weight = torch.full((mesh // 2 + 1,), 2.0)
        weight[0] = weight[-1] = 1.0
        _SHELLS[mesh] = (length / SHELL).long().reshape(-1), weight
    return _SHELLS[mesh]


def torch_density_modes(x: torch.Tensor, mesh: int, box_size: float) -> torch.Tensor:
    """`coca.analysis.density_modes` of positions (3, N) in Mpc/h, with derivatives."""
    u = x * (mesh / box_size)
    cell = torch.floor(u.detach())
    fraction, cell = u - cell, cell.long()
    near = [(1 - fraction, cell % mesh), (fraction, (cell + 1) % mesh)]
    density = torch.zeros(mesh**3)
    for wx, ix in ((w[0], i[0]) for w, i in near):
        for wy, iy in ((w[1], i[1]) for w, i in near):
            for wz, iz in ((w[2], i[2]) for w, i in near):
                density = density.index_add(0, (ix * mesh + iy) * mesh + iz, wx * wy * wz)
    return torch.fft.rfftn(density.view(mesh, mesh, mesh)) / x.shape[1]
