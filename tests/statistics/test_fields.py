import numpy as np
import pytest

from coca.parallel.domain import Grid
from coca.statistics.fields import density_field, momentum_modes, wavenumbers_of_modes, window
from coca.statistics.spectra import density_modes
from tests.statistics.made import L

M = 32


@pytest.fixture(scope="module")
def mesh():
    return Grid(L, M)


@pytest.fixture(scope="module")
def positions(domain, conditions):
    x = np.mod(domain.add_lattice(conditions.psi1), np.float32(L))
    return x


def test_momentum_of_particles_that_move_alike_is_their_density(mesh, positions):
    u = np.full(positions.shape[1], 3.0, np.float32)
    found = momentum_modes(mesh, positions, u)
    np.testing.assert_allclose(
        found, 3.0 * density_modes(mesh, positions, M, ordered=False), atol=3e-7
    )


def test_the_density_on_the_mesh_is_that_of_its_modes(mesh, positions):
    density = density_field(mesh, positions)
    assert density.mean(dtype=float) == pytest.approx(1.0, rel=1e-6)
    modes = np.fft.rfftn(density) / M**3
    modes[0, 0, 0] = 0
    np.testing.assert_allclose(modes, density_modes(mesh, positions, M, ordered=False), atol=1e-6)
    one = density_field(mesh, np.array([[0.0], [1.5 * mesh.cell], [0.0]], np.float32))
    assert one[0, 1, 0] == one[0, 2, 0] == M**3 / 2


def test_window_and_wavenumbers_of_a_mode(mesh):
    x, y, z = window(mesh)
    modes = wavenumbers_of_modes(mesh)
    assert modes.shape == (M, M, M // 2 + 1)
    assert modes[3, -4, 12] == pytest.approx(13.0)
    wanted = np.prod(np.sinc(np.array([3, 4, 12]) / M)) ** 2
    assert (x * y * z)[3, -4, 12] == pytest.approx(wanted, rel=1e-5)
