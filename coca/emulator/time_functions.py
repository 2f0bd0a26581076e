"""The emulator's time functions b_k(D).

The residual of a trajectory beyond second-order LPT, r(q, D) = x - q - D Psi1 - D2 Psi2,
starts as D^3. It is expanded in polynomials D^3 p(D); the leading singular vectors of the
expansions of training simulations are the time functions, orthonormal over the times of the
training, so that the squared error of coefficients is the mean squared error of trajectories.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.polynomial import Polynomial

LEADING_POWER = 3
DEGREES = 10
"""Number of polynomials D^3 ... D^12 in which training trajectories are expanded."""


class TimeFunctions:
    """Polynomials b_k(D) = sum_j coefficients[k, j] D^(3 + j).

    Parameters
    ----------
    coefficients : array (K, J) float64
    """

    def __init__(self, coefficients: np.ndarray):
        self.coefficients = np.asarray(coefficients, np.float64)
        zeros = [0.0] * LEADING_POWER
        self._b = [Polynomial([*zeros, *row]) for row in self.coefficients]
        self._derivatives = [(b, b.deriv(1), b.deriv(2)) for b in self._b]

    def __len__(self) -> int:
        return len(self._b)

    def __call__(self, D: float | np.ndarray) -> np.ndarray:
        """Values b_k(D), shape (K, *D.shape)."""
        return np.array([b(D) for b in self._b])

    def growth(self, k: int) -> Callable[[float], tuple[float, float, float]]:
        """The function D -> (b_k, db_k/dD, d2b_k/dD2), for a frame's term."""
        b, db, d2b = self._derivatives[k]
        return lambda D: (float(b(D)), float(db(D)), float(d2b(D)))


def orthonormal_polynomials(D: np.ndarray) -> TimeFunctions:
    """D^3 times polynomials, orthonormal in the mean over the times `D`."""
    powers = D[:, None] ** (LEADING_POWER + np.arange(DEGREES))
    chebyshev = np.polynomial.chebyshev.chebvander(2 * D - 1, DEGREES - 1)
    basis, _ = np.linalg.qr(D[:, None] ** LEADING_POWER * chebyshev)
    coefficients, *_ = np.linalg.lstsq(powers, basis * np.sqrt(len(D)), rcond=None)
    return TimeFunctions(coefficients.T)


def leading_functions(
    polynomials: TimeFunctions, covariance: np.ndarray, count: int
) -> tuple[TimeFunctions, np.ndarray]:
    """The `count` leading singular vectors of trajectories given by their expansions.

    Parameters
    ----------
    polynomials : TimeFunctions
        Orthonormal, J of them.
    covariance : array (J, J)
        Mean over particles of y y^T, y the coefficients of a trajectory.
    count : int

    Returns
    -------
    functions : TimeFunctions
    rotation : array (count, J)
        Turns coefficients of `polynomials` into coefficients of `functions`.
    """
    _, vectors = np.linalg.eigh(covariance)
    rotation = vectors[:, ::-1][:, :count].T
    return TimeFunctions(rotation @ polynomials.coefficients), rotation
