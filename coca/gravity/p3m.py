"""P3M: the mesh's force of clouds, and of pairs of particles what clouds leave out.

The cloud of a particle has the density (1 - r^2 / R^2)^n, which ends at R: so does what a pair has
to add, see `coca.kernels.short_range`.
"""

from __future__ import annotations

from functools import partial
from math import comb, prod

import numpy as np
from scipy.special import spherical_jn

from coca import kernels
from coca.errors import ConfigError
from coca.gravity.mesh import CLOUDS, Mesh
from coca.gravity.particle_mesh import Acceleration
from coca.parallel.domain import Domain
from coca.parallel.particle_exchange import ParticleExchange

ASSIGNMENT = "tsc"
EXPONENT = 3
"""n of the cloud."""
CUT = 4.5
"""R in cells of the mesh. `python -m benchmarks p3m` has the error of this and other choices."""
SUPPORT = 3.0
"""H in softening lengths: the potential at a softened point is then -1 / softening, as
Plummer's."""
TABULATED = 8192
NEARBY = "nearby particles"


class P3M:
    """Gravity of softened points.

    Parameters
    ----------
    domain : Domain
    mesh : int
        Cells per dimension.
    softening : float
        Plummer's equivalent, Mpc/h.
    cut : float
        Radius of the clouds, and reach of pairs, in cells of the mesh.

    Attributes
    ----------
    visited : int
        Pairs that have been looked at so far.

    Raises
    ------
    ConfigError
        The softening is not between zero and a cell, or the cut beyond half the box.
    """

    def __init__(self, domain: Domain, mesh: int, softening: float, cut: float = CUT):
        check_lengths(domain.box_size, mesh, softening, cut)
        self.domain, self.mesh = domain, mesh
        self.softening, self.cut, self.visited = softening, cut * domain.box_size / mesh, 0
        self._fft = domain.transform(mesh)
        self._potential = Mesh(domain, mesh, ASSIGNMENT, 4)
        table, step = _tabulated(cut)
        self._green = partial(
            kernels.fourier.cloud_inverse_laplacian,
            kf=domain.kf,
            scale=1.0 / domain.particles,
            cloud=table,
            step=step,
        )

    def __call__(
        self, x: np.ndarray, density: bool = False, out: np.ndarray | None = None
    ) -> Acceleration:
        """Acceleration at the particles, and the density contrast of the clouds if asked for.

        Arguments and errors as for `coca.gravity.particle_mesh.ParticleMesh`.
        """
        exchange = self._attract(x)
        pairs = SlabParticles(self.domain, x, self.mesh, self.cut, exchange)
        g = pairs.bring_home(self.short_range(pairs)[:3])
        out = np.empty_like(x) if out is None else out
        delta = np.empty(x.shape[1] if density else 0, np.float32)
        self._potential.read_gradient(x, exchange, out, delta)
        out += g
        return Acceleration(out, delta)

    def long_range(self, x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The mesh's part of the acceleration at the particles; arguments as for calls."""
        out = np.empty_like(x) if out is None else out
        exchange = self._attract(x)
        self._potential.read_gradient(x, exchange, out, np.empty(0, np.float32))
        return out

    def _attract(self, x: np.ndarray) -> ParticleExchange:
        """Fill the mesh with the potential of the particles."""
        exchange = self._potential.paint(x)
        self._fft.convolve(self._potential.modes, self._green)
        return exchange

    def gather(self, x: np.ndarray, margin: float = 0.0) -> SlabParticles:
        """The particles of this rank's slab and those near it, to sum pairs of.

        Parameters
        ----------
        x : array (3, N) float32
            Positions in Mpc/h, in Lagrangian order.
        margin : float
            How far particles may move until they are gathered anew, in Mpc/h.
        """
        exchange = self.domain.exchange_particles(x, self.mesh, CLOUDS[ASSIGNMENT])
        return SlabParticles(self.domain, x, self.mesh, self.cut + 2.0 * margin, exchange)

    def short_range(
        self, particles: SlabParticles, active: np.ndarray | None = None,
        out: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """The pairs' part of the acceleration.

        Parameters
        ----------
        particles : SlabParticles
        active : array (M,) bool, optional
            For which of them; by default for those of the slab.
        out : array (4, M or more) float32, optional

        Returns
        -------
        array (4, M or more) float32
            `out`, overwritten for the active: g in Mpc/h, and the sum over pairs of the
            acceleration over the distance, a frequency squared in units of that of the mean
            density.
        """
        out = np.empty((4, particles.tree.x.shape[1]), np.float32) if out is None else out
        domain = self.domain
        self.visited += kernels.short_range.pair_sums(
            particles.tree,
            particles.targets if active is None else active,
            domain.box_size,
            self.cut,
            SUPPORT * self.softening,
            cloud_polynomial(EXPONENT),
            domain.box_size**3 / (4.0 * np.pi * domain.particles),
            out,
        )
        return out


def check_lengths(box_size: float, mesh: int, softening: float, cut: float = CUT) -> None:
    """Raise ConfigError if the softening is beyond a cell, or clouds beyond half the box.

    Parameters
    ----------
    box_size, softening : float
        Mpc/h.
    mesh : int
        Cells per dimension.
    cut : float
        Radius of the clouds in cells.
    """
    cell = box_size / mesh
    if not 0.0 < softening <= cell:
        raise ConfigError(
            f"force.softening: found {softening:g} Mpc/h, wanted more than 0 and at most a cell of "
            f"the mesh, {cell:g}"
        )
    if 2.0 * cut > mesh:
        raise ConfigError(
            f"mesh: found {mesh}, wanted at least {int(np.ceil(2 * cut))} for p3m, whose pairs "
            f"reach {cut:g} cells"
        )


class SlabParticles:
    """M particles in the order of a tree: all whose position is in this rank's slab, and as sources
    those of other slabs that are in reach.

    Parameters
    ----------
    domain : Domain
    x : array (3, N) float32
        Positions of this rank's own particles, in Lagrangian order.
    mesh : int
        Whose planes divide the slabs.
    reach : float
        Mpc/h.
    exchange : ParticleExchange
        Of these positions.

    Attributes
    ----------
    tree : Tree
    targets : array (M,) bool
        Which are of this slab.
    """

    def __init__(
        self, domain: Domain, x: np.ndarray, mesh: int, reach: float, exchange: ParticleExchange
    ):
        self._domain, self._exchange = domain, exchange
        self._own, self._alone = x.shape[1], domain.ranks.size == 1
        self._expected: np.ndarray | None = None
        if not self._alone:
            self._staying = exchange.staying(self._own)
            x = np.concatenate([x[:, self._staying], exchange.received], axis=1)
            self._sent, self._counts = _wanted_elsewhere(domain, x[0], reach)
        self._here = x.shape[1]
        if not self._alone:
            x = np.concatenate([x, self._elsewhere(x)], axis=1)
        sorted_x, self._order = kernels.tree.tree_order(x, domain.box_size)
        self.tree = kernels.tree.tree_of(sorted_x)
        self.targets = self._order < self._here

    def _elsewhere(self, here: np.ndarray) -> np.ndarray:
        """Positions of the sources in other slabs, given those of this one's."""
        rows = np.ascontiguousarray(here[:, self._sent].T)
        arrivals = self._domain.ranks.exchange(rows, self._counts, self._expected, NEARBY)
        self._expected = arrivals.counts
        return arrivals.wait().T

    def take(self, values: np.ndarray) -> np.ndarray:
        """Values (c, 16 leaves) float32 of the slab's particles in the tree's order, of which every
        rank has its own particles', (c, N) in Lagrangian order; zero for all else."""
        if not self._alone:
            arrived = self._exchange.bring(np.ascontiguousarray(values.T)).T
            values = np.concatenate([values[:, self._staying], arrived], axis=1)
        out = np.zeros((len(values), self.tree.x.shape[1]), np.float32)
        kernels.tree.take(values, self._order, out)
        return out

    def bring_home(self, values: np.ndarray) -> np.ndarray:
        """The inverse of `take`: values (c, N) of the rank's own particles, in Lagrangian order."""
        here = np.empty((len(values), self._here), np.float32)
        kernels.tree.put_back(values, self._order, here)
        if self._alone:
            return here
        out = np.empty((len(values), self._own), np.float32)
        staying = len(self._staying)
        out[:, self._staying] = here[:, :staying]
        self._exchange.send_back(*here[:, staying:])
        self._exchange.return_values(*out)
        return out

    def follow(self) -> None:
        """Fit the tree to its positions, which have changed for the slab's own particles."""
        if not self._alone:
            here = np.empty((3, self._here), np.float32)
            kernels.tree.put_back(self.tree.x, self._order, here)
            sources = np.flatnonzero(~self.targets)
            self.tree.x[:, sources] = self._elsewhere(here)[:, self._order[sources] - self._here]
        self.tree.follow()


def _wanted_elsewhere(domain: Domain, x: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Which particles at x (N,) are within reach of other ranks' slabs, by rank; how many each."""
    size, L = domain.ranks.size, domain.box_size
    wanted = [np.empty(0, np.int64)] * size
    for other in range(size):
        if other != domain.ranks.rank:
            offset = np.abs((x - (other + 0.5) * L / size + 0.5 * L) % L - 0.5 * L)
            wanted[other] = np.flatnonzero(offset <= 0.5 * L / size + reach)
    return np.concatenate(wanted), np.array([len(part) for part in wanted], np.int64)


def cloud_polynomial(n: int) -> tuple[float, ...]:
    """p_k of M(r) / r^3 = sum_k p_k (r / R)^(2k) / R^3 for the mass M within r of a cloud."""
    terms = [comb(n, k) * (-1) ** k / (2 * k + 3) for k in range(n + 1)]
    return tuple(term / sum(terms) for term in terms)


def cloud_transform(n: int, kR: np.ndarray) -> np.ndarray:
    """Transform of a cloud, (2n + 3)!! j_(n+1)(kR) / (kR)^(n+1), one at k = 0."""
    safe = np.maximum(kR, 1e-2)  # below, the series
    found = prod(range(1, 2 * n + 4, 2)) * spherical_jn(n + 1, safe) / safe ** (n + 1)
    return np.where(kR < 1e-2, 1.0 - kR**2 / (2 * (2 * n + 5)), found)


def _tabulated(cut: float) -> tuple[np.ndarray, float]:
    """The clouds' transform at even steps of (k cell)^2, and the step; cut in cells."""
    step = 3.0 * np.pi**2 / TABULATED
    k = np.sqrt(step * np.arange(TABULATED + 3))
    return cloud_transform(EXPONENT, k * cut).astype(np.float32), step
