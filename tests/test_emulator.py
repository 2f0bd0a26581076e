import json
import shutil

import numpy as np
import pytest
import torch

from coca.cosmology.background import Cosmology
from coca.emulator.device import choose_device, choose_precision, choose_slabs, sharers
from coca.emulator.emulator import SHIPPED_WEIGHTS, Emulator, TrainedRange
from coca.emulator.features import CHANNELS, features
from coca.emulator.layers import fold, periodic_pad, unfold
from coca.emulator.network import Architecture, Slabs, UNet
from coca.emulator.optimiser import Optimiser, orthogonalise
from coca.emulator.time_functions import TimeFunctions, leading_functions, orthonormal_polynomials
from coca.errors import ConfigError, FileError
from coca.initial_conditions import linear_fields
from coca.parallel.domain import Domain

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def small():
    """A small network with random weights everywhere."""
    torch.manual_seed(1)
    network = UNet(Architecture(CHANNELS, 6, (4, 6, 8), (1, 1, 1), (1, 1)))
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.1)
    functions = TimeFunctions(np.array([[1.0, 0.5], [0.0, 2.0]]))
    trained = TrainedRange(2.0, (0.2, 0.4), (0.7, 0.9), (0.0, 19.0))
    return Emulator(network, functions, np.ones(CHANNELS), np.array([1.0, 0.5]), trained)


@pytest.fixture(scope="module")
def shipped():
    return Emulator.load()


def test_fold_and_unfold_are_inverse():
    x = torch.randn(2, 3, 4, 6, 8)
    assert torch.equal(unfold(fold(x)), x)
    assert torch.equal(fold(x)[0, :3, 1, 1, 1], x[0, :, 2, 2, 2])


def test_padding_is_periodic():
    x = torch.randn(1, 2, 4, 5, 6)
    expected = torch.nn.functional.pad(x, (1,) * 6, mode="circular")
    assert torch.equal(periodic_pad(x), expected)


def test_network_commutes_with_periodic_shifts(small):
    """No seams: shifting the input by whole coarse cells shifts the output."""
    x = torch.randn(1, CHANNELS, 16, 16, 16)
    style = torch.full((1, 1), 0.3)
    shift, dims = (8, -8, 8), (2, 3, 4)
    with torch.inference_mode():
        shifted = small.network(torch.roll(x, shift, dims), style)
        expected = torch.roll(small.network(x, style), shift, dims)
    torch.testing.assert_close(shifted, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_slabs_give_what_the_whole_gives(small, count):
    x = torch.randn(1, CHANNELS, 32, 16, 8)
    style = torch.full((1, 1), 0.3)
    with torch.inference_mode():
        wanted = small.network(x, style)
        found = small.network(x, style, Slabs(count, CPU))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_slabs_of_the_shipped_network(shipped, domain, cosmology, conditions):
    whole, pieces = (
        shipped.coefficients(domain, cosmology.Omega_m, conditions, CPU, slabs=slabs)
        for slabs in (1, 2)
    )
    assert np.abs(pieces - whole).max() < 1e-4 * np.abs(whole).max()


def test_slabs_are_as_few_as_fit(monkeypatch):
    free = 10 * 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    gpu = torch.device("cuda")
    assert choose_slabs("auto", CPU, 8, 100 * free) == 1
    assert choose_slabs("auto", gpu, 64, free // 2) == 1
    assert choose_slabs("auto", gpu, 64, 2 * free) == 4
    assert choose_slabs(16, gpu, 64, 2 * free) == 16
    with pytest.raises(ConfigError, match=r"emulator\.slabs: found 3, wanted a divisor of 64"):
        choose_slabs(3, gpu, 64, free)
    with pytest.raises(ConfigError, match="wanted fewer particles or device: cpu"):
        choose_slabs("auto", gpu, 4, 100 * free)


def test_omega_m_matters(small):
    x = torch.randn(1, CHANNELS, 8, 8, 8)
    with torch.inference_mode():
        a, b = (small.network(x, torch.full((1, 1), s)) for s in (-0.5, 0.5))
    assert (a - b).abs().max() > 1e-3


def test_features_are_smoothed_fields(domain, conditions):
    f = features(domain, conditions.delta_k, conditions.psi1, conditions.psi2)
    n = domain.n
    np.testing.assert_array_equal(f[:3].reshape(3, -1), conditions.psi1)
    np.testing.assert_array_equal(f[3:6].reshape(3, -1), conditions.psi2)
    i = np.fft.fftfreq(n, 1 / n) * domain.kf
    k2 = i[:, None, None] ** 2 + i[None, :, None] ** 2 + i[None, None, :] ** 2
    psi1_k = np.fft.fftn(conditions.psi1.reshape(3, n, n, n), axes=(1, 2, 3))
    smooth = np.fft.ifftn(psi1_k * np.exp(-k2 * 12.0**2 / 2), axes=(1, 2, 3)).real
    np.testing.assert_allclose(f[9:12], smooth, atol=1e-4)
    delta = np.fft.irfftn(conditions.delta_k, s=(n, n, n), axes=(0, 1, 2)) * n**3
    smooth = np.fft.ifftn(np.fft.fftn(delta) * np.exp(-k2 * 4.0**2 / 2)).real
    np.testing.assert_allclose(f[13], smooth, atol=1e-4)


def test_frame_is_lpt_plus_time_functions(small, domain, cosmology, conditions):
    frame = small.frame(domain, cosmology, conditions, CPU)
    C = small.coefficients(domain, cosmology.Omega_m, conditions, CPU)
    lpt, D = conditions.lpt_frame(cosmology), 0.7
    b = [D**3 + 0.5 * D**4, 2.0 * D**4]
    db = [3 * D**2 + 2 * D**3, 8 * D**3]
    expected = lpt.displacement(D) + b[0] * C[0] + b[1] * C[1]
    np.testing.assert_allclose(frame.displacement(D), expected, atol=1e-4)
    expected = lpt.velocity(D) + db[0] * C[0] + db[1] * C[1]
    np.testing.assert_allclose(frame.velocity(D), expected, atol=1e-4)


def test_bfloat16_gives_the_same_answer(shipped, power):
    """To the few parts in a hundred that bfloat16 products of a deep network keep."""
    domain = Domain(64.0, 32)
    conditions = linear_fields.from_seed(domain, power, 5)
    full = shipped.coefficients(domain, 0.3175, conditions, CPU, torch.float32)
    half = shipped.coefficients(domain, 0.3175, conditions, CPU, torch.bfloat16)
    assert np.sqrt(np.mean((half - full) ** 2)) < 0.03 * np.sqrt(np.mean(full**2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_gives_the_same_answer(shipped, power):
    domain = Domain(64.0, 32)
    conditions = linear_fields.from_seed(domain, power, 5)
    cpu = shipped.coefficients(domain, 0.3175, conditions, CPU)
    gpu = shipped.coefficients(domain, 0.3175, conditions, torch.device("cuda"))
    assert np.sqrt(np.mean((gpu - cpu) ** 2)) < 2e-3 * np.sqrt(np.mean(cpu**2))


def test_device_is_chosen_or_refused():
    assert choose_device("cpu").type == "cpu"
    assert choose_precision("float32", CPU) == torch.float32
    if not torch.cuda.is_available():
        assert choose_device("auto").type == "cpu"
        with pytest.raises(ConfigError, match="device: found cuda"):
            choose_device("cuda")


def test_ranks_of_a_machine_take_turns_at_its_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    found = [choose_device("auto", rank) for rank in range(4)]
    assert found == [torch.device("cuda", number) for number in (0, 1, 0, 1)]
    assert choose_device("cpu", 1) == CPU
    assert [sharers(found[0], ranks) for ranks in (1, 2, 3, 8)] == [1, 1, 2, 4]
    assert sharers(CPU, 8) == 1


def test_file_round_trip(small, tmp_path, domain, conditions):
    path = tmp_path / "weights.safetensors"
    small.save(path)
    loaded = Emulator.load(path)
    assert loaded.trained == small.trained
    a = small.coefficients(domain, 0.3, conditions, CPU)
    b = loaded.coefficients(domain, 0.3, conditions, CPU)
    # weights are stored in half precision
    assert np.abs(a - b).max() < 5e-3 * np.abs(a).max()


def test_shipped_weights_are_small_and_know_their_range(shipped):
    assert SHIPPED_WEIGHTS.stat().st_size < 10e6
    assert shipped.trained.cell == 2.0
    low, high = shipped.trained.Omega_m
    assert low < 0.3175 < high


def test_shipped_emulator_beats_lpt(shipped, power, cosmology):
    """The network removes most of the displacement error that 2LPT leaves at z = 0."""
    from coca.frames import rest_frame
    from coca.gravity.particle_mesh import ParticleMesh
    from coca.integration.integrate import initial_state, integrate
    from coca.integration.kicks import VelocityKick
    from coca.integration.schemes import bullfrog

    domain = Domain(64.0, 32)
    conditions = linear_fields.from_seed(domain, power, 6)
    lpt, rest = conditions.lpt_frame(cosmology), rest_frame(domain.particles)
    steps = bullfrog(cosmology, np.linspace(0.064, 1.0, 49))
    start = initial_state(lpt, rest, 0.064)
    force = ParticleMesh(domain, 64)
    truth = next(integrate(domain, rest, force, VelocityKick(), steps, start, [1.0])).disp
    emulated = shipped.frame(domain, cosmology, conditions, CPU).displacement(1.0)
    left = np.var(emulated - truth) / np.var(lpt.displacement(1.0) - truth)
    assert left < 0.35


def test_outside_the_trained_range_there_are_warnings(small):
    inside = Cosmology(0.3, 0.05, 0.7, 0.96, 0.8)
    assert small.trained.warnings(2.0, inside, (1.0, 0.0)) == []
    (spacing,) = small.trained.warnings(2.2, inside, (0.0,))
    assert "box_size / particles = 2.2 Mpc/h" in spacing
    outside = Cosmology(0.5, 0.05, 0.7, 0.96, 0.95)
    messages = small.trained.warnings(2.0, outside, (25.0,))
    assert [m.split(" ")[0] for m in messages] == [
        "cosmology.Omega_m",
        "cosmology.sigma_8",
        "output.redshifts",
    ]


def test_unfit_lattices_are_errors(small):
    small.check(64, 128.0)
    with pytest.raises(ConfigError, match="particles: found 36, wanted a multiple of 8"):
        small.check(36, 72.0)
    with pytest.raises(ConfigError, match=r"box_size: found 150 .* wanted 128"):
        small.check(64, 150.0)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "foreign"])
def test_bad_weights_are_one_clear_error(small, tmp_path, damage):
    path = tmp_path / "weights.safetensors"
    small.save(path)
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "text":
        path.write_text("not weights")
    else:
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(FileError, match=r"emulator\.weights.*weights\.safetensors"):
        Emulator.load(path)


def test_weights_of_another_architecture_are_an_error(small, tmp_path):
    from safetensors.torch import save_file

    from coca.files.safetensors import read_tensors, write_tensors

    path = tmp_path / "weights.safetensors"
    small.save(path)
    metadata, tensors = read_tensors(path, "pt")
    architecture = json.loads(metadata["architecture"])
    architecture["channels"] = [4, 6, 10]
    other = tmp_path / "other.safetensors"
    metadata_of_other = metadata | {"architecture": json.dumps(architecture)}
    write_tensors(other, save_file, tensors, metadata_of_other)
    with pytest.raises(FileError, match=r"emulator\.weights"):
        Emulator.load(other)
    tensors["output_scale"] = torch.full((2,), torch.nan)
    shutil.copy(path, other)
    write_tensors(other, save_file, tensors, metadata)
    with pytest.raises(FileError, match="not finite"):
        Emulator.load(other)


def test_polynomials_are_orthonormal_over_the_times():
    D = np.arange(1, 33) / 32
    b = orthonormal_polynomials(D)(D)
    np.testing.assert_allclose(b @ b.T / len(D), np.eye(len(b)), atol=1e-6)


def test_leading_functions_span_the_trajectories():
    """Trajectories made of two functions are found again, without loss."""
    D = np.arange(1, 33) / 32
    basis = orthonormal_polynomials(D)
    rng = np.random.default_rng(1)
    y = rng.normal(size=(len(basis), 2)) @ rng.normal(size=(2, 500))
    functions, rotation = leading_functions(basis, y @ y.T / 500, 2)
    np.testing.assert_allclose(functions(D).T @ (rotation @ y), basis(D).T @ y, atol=1e-5)
    np.testing.assert_allclose(functions(D) @ functions(D).T / len(D), np.eye(2), atol=1e-6)


def test_time_functions_have_exact_derivatives():
    functions = orthonormal_polynomials(np.arange(1, 33) / 32)
    h, D = 1e-5, 0.63
    for k in range(len(functions)):
        value, slope, curvature = functions.growth(k)(D)
        forward, backward = functions.growth(k)(D + h), functions.growth(k)(D - h)
        assert slope == pytest.approx((forward[0] - backward[0]) / (2 * h), rel=1e-4, abs=1e-4)
        assert curvature == pytest.approx((forward[1] - backward[1]) / (2 * h), rel=1e-4, abs=1e-3)
        assert value == pytest.approx(functions(D)[k])


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (12, 12)])
def test_orthogonalise_gives_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
    assert values.min() > 0.4 and values.max() < 1.4


def test_a_parameter_without_gradient_stays():
    layer = torch.nn.Linear(2, 1)
    layer(torch.ones(1, 2)).sum().backward()
    layer.bias.grad = None
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    Optimiser(layer).step(0, 0.1, 0.1, 0.0)
    assert (layer.weight != weight).all() and (layer.bias == bias).all()
