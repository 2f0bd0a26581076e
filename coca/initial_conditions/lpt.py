"""Lagrangian perturbation theory on the particle lattice, to second order.

x(q, D) = q + D Psi1 + D2(D) Psi2 with Psi1 = -grad phi1, lap phi1 = delta_lin and
Psi2 = +grad phi2, lap phi2 = sum_{i<j} (phi1_ii phi1_jj - phi1_ij^2)
(Bouchet et al. 1995; Scoccimarro 1998).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from coca import kernels
from coca.parallel.domain import Domain
from coca.parallel.fft import Multiply


def first_order(domain: Domain, delta_k: np.ndarray) -> np.ndarray:
    """Linear displacement Psi1 at D = 1.

    Parameters
    ----------
    domain : Domain
    delta_k : array (n, rows, n//2+1) complex64
        Modes of delta_lin(D=1), normalised so that delta(x) = sum_k delta_k exp(ikx).

    Returns
    -------
    array (3, N) float32
        Psi1 in Mpc/h, of this rank's particles.
    """
    return _gradient(domain, _potential(domain, delta_k), -1.0)


def second_order(domain: Domain, delta_k: np.ndarray) -> np.ndarray:
    """Second-order displacement Psi2, to be multiplied by D2(D).

    Parameters and shape as in `first_order`.
    """
    fft, kf = domain.transform(domain.n_side), domain.kf
    phi_k, work = _potential(domain, delta_k), fft.empty_k()

    def second_derivative(i: int, j: int) -> np.ndarray:
        hessian = partial(kernels.fourier.hessian, kf=kf, axis0=i, axis1=j)
        return fft.backward(phi_k, multiply=hessian, work=work)

    source, yy, zz = (second_derivative(i, i) for i in range(3))
    zz *= source + yy
    source *= yy
    source += zz
    del yy, zz
    for i, j in ((0, 1), (0, 2), (1, 2)):
        source -= second_derivative(i, j) ** 2
    return _gradient(domain, fft.forward(source, phi_k, _green(domain, domain.particles)), 1.0)


def density_of_displacement(domain: Domain, psi1: np.ndarray) -> np.ndarray:
    """Modes of delta_lin = -div Psi1 of a given linear displacement (3, N), as `first_order`."""
    fft = domain.transform(domain.n_side)
    psi_k, delta_k = fft.empty_k(3), fft.empty_k()
    for axis in range(3):
        fft.forward(psi1[axis].reshape(fft.shape), psi_k[axis])
    kernels.fourier.divergence(psi_k, fft.first, domain.kf, -1.0 / domain.particles, delta_k)
    return delta_k


def _green(domain: Domain, cells: int = 1) -> Multiply:
    return partial(kernels.fourier.inverse_laplacian, kf=domain.kf, scale=1.0 / cells, assignment=0)


def _potential(domain: Domain, delta_k: np.ndarray) -> np.ndarray:
    fft = domain.transform(domain.n_side)
    phi_k = fft.empty_k()
    phi_k[:] = delta_k
    fft.multiply(phi_k, _green(domain))
    return phi_k


def _gradient(domain: Domain, phi_k: np.ndarray, sign: float) -> np.ndarray:
    fft = domain.transform(domain.n_side)
    out, work = domain.empty_particles(), fft.empty_k()
    for axis in range(3):
        ik = partial(kernels.fourier.gradient, kf=domain.kf, axis=axis, scale=sign)
        fft.backward(phi_k, out[axis].reshape(fft.shape), ik, work)
    return out
