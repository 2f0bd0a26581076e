import numpy as np
import pytest
import torch

from coca.emulator.emulator import Emulator, threads
from coca.initial_conditions import linear_fields
from coca.parallel.domain import Domain

CPU = torch.device("cpu")


def test_slabs_of_the_shipped_network(shipped, domain, cosmology, conditions):
    whole, pieces = (
        shipped.coefficients(domain, cosmology.Omega_m, conditions, CPU, slabs=slabs)
        for slabs in (1, 2)
    )
    assert np.abs(pieces - whole).max() < 1e-4 * np.abs(whole).max()


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


def test_file_round_trip(small, tmp_path, domain, conditions):
    path = tmp_path / "weights.safetensors"
    small.save(path)
    loaded = Emulator.load(path)
    assert loaded.trained == small.trained
    a = small.coefficients(domain, 0.3, conditions, CPU)
    b = loaded.coefficients(domain, 0.3, conditions, CPU)
    # weights are stored in half precision
    assert np.abs(a - b).max() < 5e-3 * np.abs(a).max()


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


def test_torch_has_its_threads_back():
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
