"""Every stage on all ranks against the same stage on one."""

from functools import partial

import h5py
import numpy as np
import pytest
import torch

from coca.cosmology.linear_power import linear_power
from coca.emulator.architecture import Architecture
from coca.emulator.emulator import Emulator
from coca.emulator.features import CHANNELS, features
from coca.emulator.network import UNet
from coca.emulator.time_functions import TimeFunctions
from coca.emulator.weights_file import TrainedRange
from coca.errors import ConfigError, FileError
from coca.files.snapshot_writer import part_names, write_snapshot
from coca.gravity.particle_mesh import ParticleMesh
from coca.initial_conditions import from_snapshot, gaussian_modes, linear_fields
from coca.initial_conditions.primordial import LocalType
from coca.integration.linear_density import linear_density
from coca.parallel.domain import Domain
from coca.particles import Snapshot
from coca.statistics.spectra import particle_spectra
from tests.mpi.parts import own
from tests.parallel.modes import smooth

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def power(cosmology):
    return linear_power(cosmology, "eisenstein_hu")


@pytest.fixture(scope="module")
def here(parted, power):
    """Initial conditions on all ranks."""
    return linear_fields.from_seed(parted, power, 7)


@pytest.fixture(scope="module")
def there(alone, power):
    """Initial conditions on one rank."""
    return linear_fields.from_seed(alone, power, 7)


@pytest.mark.parametrize("n", [24, 48, 96])
def test_transforms(ranks, parted, whole, n):
    field = np.random.default_rng(n).normal(size=(n, n, n)).astype(np.float32)
    fft = parted.transform(n)
    planes = slice(fft.first, fft.first + fft.shape[0])
    expected = np.fft.rfftn(field)
    scale = np.abs(expected).max()
    found = fft.forward(np.ascontiguousarray(field[planes]))
    np.testing.assert_allclose(found, expected[:, planes], atol=3e-6 * scale)
    back = fft.backward(found.copy(), work=fft.empty_k())
    np.testing.assert_allclose(back / n**3, field[planes], atol=1e-5)
    np.testing.assert_allclose(fft.backward(found) / n**3, field[planes], atol=1e-5)

    padded = fft.empty_k()
    fft.mesh(padded)[..., :n] = field[planes]
    fft.convolve(padded, partial(smooth, n=n))
    one = Domain(1.0, n).transform(n)
    single = one.empty_k()
    one.mesh(single)[..., :n] = field
    one.convolve(single, partial(smooth, n=n))
    # blocks of columns of another width have plans of their own: round-off, not the same bits
    wanted = one.mesh(single)[planes, :, :n]
    np.testing.assert_allclose(fft.mesh(padded)[..., :n], wanted, atol=1e-6 * np.abs(wanted).max())


def test_ranks_that_disagree_about_alignment_do_not_wait_for_one_another(ranks, parted):
    n = 32 if ranks.size != 3 else 30
    fft = Domain(1.0, n, 1, ranks).transform(n)
    room = np.empty(fft.empty().size + 1, np.float32)
    field = room[ranks.rank % 2 :][: fft.empty().size].reshape(fft.shape)
    field[:] = 1
    assert ranks.sum(float(abs(fft.forward(field)).sum())) == pytest.approx(n**3, rel=1e-5)


@pytest.mark.parametrize("name", gaussian_modes.GENERATORS)
@pytest.mark.parametrize("options", [{}, {"fixed_amplitude": True, "paired": True}])
def test_noise_is_the_same_on_any_number_of_ranks(parted, alone, whole, name, options):
    draw = gaussian_modes.GENERATORS[name]
    np.testing.assert_array_equal(whole(draw(parted, 11, **options), 1), draw(alone, 11, **options))


def test_linear_modes_and_displacements(here, there, whole):
    np.testing.assert_array_equal(whole(here.delta_k, 1), there.delta_k)
    for name in ("psi1", "psi2"):
        wanted = getattr(there, name)
        np.testing.assert_allclose(
            whole(getattr(here, name), 1), wanted, atol=1e-6 * np.abs(wanted).max()
        )


def test_local_non_gaussianity(parted, alone, power, whole, cosmology):
    local = LocalType(1000.0, cosmology)
    found, wanted = (linear_fields.from_seed(d, power, 7, local=local) for d in (parted, alone))
    np.testing.assert_allclose(whole(found.psi1, 1), wanted.psi1, atol=1e-5 * wanted.psi1.std())


def test_rms_of_linear_density(parted, alone, here, there):
    assert linear_density(parted, here.delta_k, 0.7) == pytest.approx(
        linear_density(alone, there.delta_k, 0.7), rel=1e-9
    )


@pytest.mark.parametrize("name", ["white_noise", "psi1"])
def test_files_are_read_by_every_rank(ranks, parted, alone, power, there, whole, shared_path, name):
    path, n = shared_path / "field.hdf5", alone.n_side
    noise = np.random.default_rng(5).normal(size=(n, n, n)).astype(np.float32)
    data = noise if name == "white_noise" else there.psi1.reshape(3, n, n, n)

    def write():
        with h5py.File(path, "w") as file:
            file[name] = data

    ranks.once(write)
    found = linear_fields.from_file(parted, power, path)
    wanted = linear_fields.from_file(alone, power, path)
    for field in ("psi1", "psi2"):
        expected = getattr(wanted, field)
        np.testing.assert_allclose(
            whole(getattr(found, field), 1), expected, atol=3e-6 * np.abs(expected).max()
        )


@pytest.fixture
def start(parted, here, cosmology, shared_path):
    """A snapshot of 2LPT at D = 0.05, a file a rank."""
    frame, path = here.lpt_frame(cosmology), shared_path / "start.hdf5"
    snapshot = Snapshot(0.05, frame.displacement(0.05), frame.velocity(0.05))
    write_snapshot(path, parted, cosmology, snapshot, {})
    return path


@pytest.mark.parametrize("shuffled", [False, True])
def test_snapshots_are_read_by_all_ranks(
    ranks, parted, alone, cosmology, whole, start, shuffled, monkeypatch
):
    """The same particles, bit by bit, wherever they stand in the files, on any number of ranks."""
    monkeypatch.setattr(from_snapshot, "EACH", 5000)
    if shuffled:
        ranks.once(lambda: shuffle(start))
    found, wanted = (
        from_snapshot.from_snapshot(d, cosmology, start, 0.05) for d in (parted, alone)
    )
    for of in ("displacement", "velocity"):
        own, all_ = (
            getattr((c.snapshot or c.lpt_frame(cosmology)), of)(0.05) for c in (found, wanted)
        )
        np.testing.assert_array_equal(whole(own, 1), all_)
    for field in ("psi1", "psi2"):
        expected = getattr(wanted, field)
        np.testing.assert_allclose(
            whole(getattr(found, field), 1), expected, atol=3e-6 * np.abs(expected).max()
        )
    assert found.remarks == wanted.remarks == ()
    assert ranks.size == 1 or parted.ranks.sent["initial conditions"] > 0 or not shuffled


def shuffle(path):
    """Any order of particles in one file."""
    with h5py.File(path) as file:
        header = dict(file["Header"].attrs)
        data = {name: values[:] for name, values in file["PartType1"].items()}
    order = np.random.default_rng(4).permutation(len(data["ParticleIDs"]))
    with h5py.File(path, "w") as file:
        file.create_group("Header").attrs.update(header)
        for name, values in data.items():
            file[f"PartType1/{name}"] = values[order]


def test_particles_that_are_missing_on_one_rank_stop_all(ranks, parted, cosmology, start):
    def repeat():
        last = path_of_last(start, ranks.size)
        with h5py.File(last, "r+") as file:
            file["PartType1/ParticleIDs"][-2] = parted.particles - 1

    ranks.once(repeat)
    with pytest.raises(FileError, match=f"found no ParticleIDs {parted.particles - 2}"):
        from_snapshot.from_snapshot(parted, cosmology, start, 0.05)


def path_of_last(path, size):
    return path.with_name(part_names(path, size)[-1]) if size > 1 else path


def test_a_bad_value_in_one_ranks_part_of_a_file_stops_all(ranks, parted, power, shared_path):
    path, n = shared_path / "noise.hdf5", parted.n_side

    def write():
        noise = np.zeros((n, n, n), np.float32)
        noise[-1, 3, 4] = np.nan
        with h5py.File(path, "w") as file:
            file["white_noise"] = noise

    ranks.once(write)
    with pytest.raises(FileError, match="not finite"):
        linear_fields.from_file(parted, power, path)


@pytest.fixture(scope="module")
def small_emulator():
    """Two levels and random weights: a coarsest level of 12 planes."""
    torch.manual_seed(1)
    network = UNet(Architecture(CHANNELS, 6, (4, 6), (1, 1), (1,)))
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.1)
    functions = TimeFunctions(np.array([[1.0, 0.5], [0.0, 2.0]]))
    trained = TrainedRange(2.0, (0.2, 0.4), (0.7, 0.9), (0.0, 19.0))
    return Emulator(network, functions, np.ones(CHANNELS), np.array([1.0, 0.5]), trained)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("slabs", [1, 3])
def test_network(small_emulator, parted, alone, here, there, whole, slabs, precision):
    """No seams, in whole slabs and in pieces of them."""
    if parted.lattice[0] // small_emulator.architecture.divisor % slabs:
        slabs = 1
    inputs = [features(d, c.delta_k, c.psi1, c.psi2) for d, c in ((parted, here), (alone, there))]
    np.testing.assert_allclose(whole(inputs[0], 1), inputs[1], atol=1e-5)
    found = small_emulator.coefficients(parted, 0.3, here, CPU, precision, slabs)
    wanted = small_emulator.coefficients(alone, 0.3, there, CPU, precision)
    tolerance = 1e-5 if precision == torch.float32 else 2e-2
    np.testing.assert_allclose(whole(found, 2), wanted, atol=tolerance * np.abs(wanted).max())


def test_the_networks_planes_limit_the_ranks(small_emulator):
    weights = small_emulator.weights()
    weights.check(48, 96.0, 12)
    message = "ranks: found 24, wanted a divisor of 12, .*; the largest below is 12"
    with pytest.raises(ConfigError, match=message):
        weights.check(48, 96.0, 24)


def test_ranks_that_do_not_divide_the_lattice():
    class Ranks:
        rank, size = 0, 7

    with pytest.raises(
        ConfigError, match="ranks: found 7, wanted a divisor of particles = 48; the "
    ):
        Domain(96.0, 48, 1, Ranks())


POSITIONS = {
    "evolved": lambda alone, there: alone.add_lattice(there.psi1),
    "anywhere": lambda alone, there: (
        np.random.default_rng(3).uniform(-300, 300, there.psi1.shape).astype(np.float32)
    ),
    "all in the next slab": lambda alone, there: alone.add_lattice(
        0.3 * there.psi1 + np.float32([[24.0], [0], [0]])
    ),
    "all in one cell": lambda alone, there: np.full_like(there.psi1, 31.7),
}
FORCES = [
    {},
    {"assignment": "tsc"},
    {"gradient": "spectral"},
    {"gradient": "spectral", "assignment": "tsc", "deconvolve": True},
]


def agree(found, wanted, domain):
    """But for the round-off of a float32 potential, whose differences over a cell of 0.67 Mpc/h or
    more are the accelerations, and second differences the density. It is about |g| box / 2 pi, or
    delta cell^2 / 4 of the mesh where all particles are in one cell."""
    long, short = domain.box_size / (2 * np.pi), 0.25 * (0.5 * domain.cell) ** 2
    potential = max(long * np.abs(wanted.g).max(), short * np.abs(wanted.delta).max())
    round_off = 2.0**-24 * potential
    np.testing.assert_allclose(found.g, own(domain, wanted.g), atol=6 * round_off)
    crowded = 3e-7 * np.abs(wanted.delta).max()
    np.testing.assert_allclose(
        found.delta, own(domain, wanted.delta), atol=40 * round_off + crowded
    )


@pytest.mark.parametrize("where", POSITIONS)
@pytest.mark.parametrize(
    "options", FORCES, ids=lambda o: "-".join(map(str, o.values())) or "default"
)
def test_force(parted, alone, there, where, options):
    """Wherever the particles are: accelerations and densities."""
    x = POSITIONS[where](alone, there)
    mine = own(parted, x)
    found = ParticleMesh(parted, 2 * parted.n_side, **options)(mine, density=True, out=mine)
    wanted = ParticleMesh(alone, 2 * alone.n_side, **options)(x, density=True)
    agree(found, wanted, parted)


@pytest.mark.parametrize("mesh", [48, 144])
def test_force_on_meshes_of_one_and_three_times_the_lattice(parted, alone, there, mesh):
    x = alone.add_lattice(there.psi1)
    found = ParticleMesh(parted, mesh)(own(parted, x), density=True)
    wanted = ParticleMesh(alone, mesh)(x, density=True)
    agree(found, wanted, parted)


def test_positions_that_are_not_finite_stop_all_ranks(ranks, parted):
    x = parted.add_lattice(np.zeros((3, parted.own_particles), np.float32))
    if ranks.rank == ranks.size - 1:
        x[1, 5] = np.nan
    with pytest.raises(FloatingPointError, match="positions are not finite"):
        ParticleMesh(parted, 96)(x)


def test_spectra(parted, alone, there):
    x, y = alone.add_lattice(there.psi1), alone.add_lattice(0.9 * there.psi1)
    found = particle_spectra(parted, 96, own(parted, x), own(parted, y))
    wanted = particle_spectra(alone, 96, x, y)
    for name in found._fields:
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-5)


def test_spectra_of_particles_in_the_corner_of_the_box(parted, alone, there):
    """All of them on one rank's or two ranks' slabs, some below 0."""
    x = 0.1 * (alone.add_lattice(there.psi1) - np.float32(0.5 * alone.box_size))
    found = particle_spectra(parted, 96, own(parted, x))
    np.testing.assert_allclose(found.P_a, particle_spectra(alone, 96, x).P_a, rtol=1e-4)


def test_rms_over_all_particles(parted, there):
    expected = np.sqrt(np.mean(np.sum(there.psi1.astype(float) ** 2, axis=0)))
    assert parted.rms(own(parted, there.psi1)) == pytest.approx(expected, rel=1e-6)
