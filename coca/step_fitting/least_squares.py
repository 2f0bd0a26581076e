"""Least squares for the matrices of a step, and for how far to go without bias."""

from __future__ import annotations

import numpy as np

from coca import kernels
from coca.integration.fitted_table import CLASSES, TILTS

SHRINKAGE = 3000.0
"""Particles whose say the coarser fit has in the finer: all classes in one, each density class,
each on the nodes and with tilts, each with its density before."""
NOISE = 1e-8
"""Mean square, over that of the largest feature, below which a feature is round-off."""
BIAS_PRIOR = 0.003
"""How far, in P / P_true, a simulation's power is from telling where it is without bias."""
Moments = list[tuple[np.ndarray, np.ndarray]]
"""What `kernels.fitted.moments` gives for every run."""


def least_squares(moments: Moments, weights: list[np.ndarray]) -> np.ndarray:
    """Matrices (K, *CLASSES, TARGETS, FEATURES) from the moments of all runs.

    Each finer fit is drawn to the coarser one by `SHRINKAGE` particles, and tilts to none.
    """
    F = kernels.constants.FEATURES
    sums = np.array([s for s, _ in moments])
    counts = np.array([n for _, n in moments]).sum(axis=(0, 1))
    h = np.array(weights)
    K = h.shape[1]
    per_class = sums.sum(axis=(0, 1))
    A, B = per_class[..., :F], per_class[..., F:]
    X = _solve(A.sum(axis=0), B.sum(axis=0))
    prior = SHRINKAGE * A / np.maximum(counts, 1)[:, None, None]
    X = np.array([_solve(a + p, b + p @ X) for a, b, p in zip(A, B, prior, strict=True)])
    out = np.empty((K, *CLASSES, F, kernels.constants.TARGETS))
    for k in range(CLASSES[1]):
        draw = np.kron(np.eye(K), prior[k])
        at_nodes = np.kron(np.arange(K)[:, None] < K - TILTS, X[k])
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


def factors(
    weights: np.ndarray, prior: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """Shares (K,) of the way from the first to the second bias of each run at which it vanishes, by
    least squares.

    Parameters
    ----------
    weights : array (runs, K)
        Those of the shares in each run.
    prior : array (K,)
        Shares where no run tells.
    first, second : array (runs,)
    """
    A = np.concatenate([weights * (second - first)[:, None], BIAS_PRIOR * np.eye(len(prior))])
    found: np.ndarray = np.linalg.lstsq(A, np.concatenate([-first, BIAS_PRIOR * prior]))[0]
    return found


def _solve(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Least squares without the features that vanish but for round-off."""
    used = np.diag(A) > NOISE * np.diag(A).max()
    scale = np.sqrt(np.diag(A)[used])
    scaled = A[np.ix_(used, used)] / scale[:, None] / scale + 1e-7 * np.eye(used.sum())
    X = np.zeros(B.shape)
    X[used] = np.linalg.solve(scaled, B[used] / scale[:, None]) / scale[:, None]
    return X
