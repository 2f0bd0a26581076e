import json
import shutil

import numpy as np
import pytest
import torch

from coca.cosmology.background import Cosmology
from coca.emulator.emulator import SHIPPED_WEIGHTS, Emulator
from coca.errors import ConfigError, FileError
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
