"""Derivatives against differences, and spectra against those of `coca.statistics`."""

import numpy as np
import pytest
import torch

from coca.statistics.spectra import density_modes
from coca.step_fitting.differentiable import SHELL, relative_spectra, shell_numbers

RNG = np.random.default_rng(5)


@pytest.fixture
def positions(domain, conditions):
    return torch.from_numpy(domain.add_lattice(conditions.psi1))


@pytest.fixture
def true(domain, conditions):
    return density_modes(domain, domain.add_lattice(0.8 * conditions.psi1), 2 * domain.n_side)


@pytest.mark.parametrize("axis", [None, 1])
def test_spectra_are_sums_over_shells(domain, positions, true, axis):
    """By hand, over all modes of both halves of Fourier space."""
    found = relative_spectra(domain, positions, true, axis)
    mesh = true.shape[0]
    modes = density_modes(domain, positions.numpy(), mesh)
    whole = [np.fft.fftn(np.fft.irfftn(m.astype(complex), s=(mesh,) * 3)) for m in (modes, true)]
    i = np.fft.fftfreq(mesh, 1 / mesh)
    k = np.meshgrid(i, i, i, indexing="ij")
    length = np.sqrt(sum(c**2 for c in k))
    shell = (length / SHELL).astype(int) == 3
    if axis is not None:
        shell &= np.abs(k[axis]) / np.maximum(length, 1) < 1 / 3
    a, b = (m[shell] for m in whole)
    P, P_true = (np.sum(np.abs(m) ** 2) for m in (a, b))
    assert found.ratio[0, 3] == pytest.approx(P / P_true, rel=1e-4)
    cross = np.sum((a * b.conj()).real) / np.sqrt(P * P_true)
    assert found.r[0, 3] == pytest.approx(cross, rel=1e-4)


@pytest.mark.parametrize("axis", [None, 2])
def test_derivatives_of_spectra_are_differences(domain, positions, true, axis):
    """Along the gradient, of a random sum of all that spectra give."""
    x = positions.clone().requires_grad_()
    found = relative_spectra(domain, x, true, axis)
    factors = [torch.from_numpy(RNG.normal(size=part.shape)) for part in found]
    sum((f * part).sum() for f, part in zip(factors, found, strict=True)).backward()
    direction, step = x.grad / x.grad.abs().mean(), 1e-3

    def at(shift):
        moved = relative_spectra(domain, positions + shift * direction, true, axis)
        return float(sum((f * part).sum() for f, part in zip(factors, moved, strict=True)))

    assert float((x.grad * direction).sum()) == pytest.approx(
        (at(step) - at(-step)) / (2 * step), rel=5e-3
    )


def test_every_mode_is_of_one_shell_but_the_zero_mode():
    number = shell_numbers(8, None)
    assert number[0, 0, 0] == np.iinfo(np.uint16).max
    assert number[0, 0, 1] == 0 and number[0, 3, 0] == 1 and number[4, 4, 4] == 3
