import numpy as np
import pytest
import torch

from tests.emulator.images import SYMMETRIES, image, planar
from tests.emulator.training import trainer_of


def outputs_of(trainer, size):
    """Random folded outputs of a network."""
    n, K = trainer.domain.n_side // 2, trainer.loss.count
    generator = torch.Generator().manual_seed(3)
    outputs = size * torch.randn(1, 24 * K, n, n, n, generator=generator)
    return outputs.contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("symmetry", [SYMMETRIES[0], SYMMETRIES[3]])
def test_losses_are_those_of_trajectories(values, symmetry):
    """Positions and velocities at all times of the training, each with its own error."""
    trainer = trainer_of(values)
    n, loss, examples = trainer.domain.n_side, trainer.loss, trainer.examples
    outputs, example = outputs_of(trainer, 0.5), examples.load(0, symmetry)
    D, simulation = 0.8, trainer.simulations.planned[0]
    losses, _ = loss(outputs, example, D, np.zeros(3))
    psi1, psi2, rows = trainer.simulations.load(0)
    fields = (examples.scales.rotation @ rows).reshape(-1, 3, n, n, n)
    true = np.array([image(f, symmetry) for f in fields])
    scale = examples.scales.outputs[: loss.count, None, None, None, None]
    emulated = planar(outputs[0].permute(1, 2, 3, 0).numpy(), n).reshape(-1, 3, n, n, n) * scale
    errors = emulated - true[: loss.count]
    times = np.arange(1, 17) / 16
    b = examples.functions(times)
    slopes = np.array([[examples.functions.growth(k)(t)[1] for t in times] for k in range(len(b))])

    def fraction(weights):
        left = np.tensordot(weights[: loss.count], errors, (0, 0))
        return np.mean(left**2) / np.mean(np.tensordot(weights, true, (0, 0)) ** 2)

    # 1e-2: bfloat16 targets
    assert losses.positions == pytest.approx(fraction(b), rel=1e-2)
    assert losses.velocities == pytest.approx(fraction(slopes), rel=1e-2)
    psi = [image(p.reshape(3, n, n, n), symmetry) for p in (psi1, psi2)]
    lpt = D * psi[0] + simulation.cosmology.D2_of_D(D)[0] * psi[1]
    _, x = loss.errors(outputs, example, D)
    at_D = examples.functions(D)
    found = x.reshape(2, 3, n, n, n) - trainer.domain.add_lattice(
        np.zeros((3, n**3), np.float32)
    ).reshape(3, n, n, n)
    disp = lpt + np.tensordot(at_D, true, (0, 0))
    np.testing.assert_allclose(found[0], disp, atol=2**-7 * np.abs(disp).max())
    np.testing.assert_allclose(
        found[1] - found[0], np.tensordot(at_D[: loss.count], errors, (0, 0)), atol=0.05
    )


def test_derivatives_of_the_loss_are_differences(values):
    trainer = trainer_of(values)
    outputs, example = outputs_of(trainer, 0.3), trainer.examples.load(0, SYMMETRIES[2])
    shift = np.array([0.2, 0.5, 0.7])
    _, gradient = trainer.loss(outputs, example, 0.9, shift)
    direction = gradient / gradient.norm()
    h = 0.3
    ends = [
        trainer.loss(outputs + s * h * direction, example, 0.9, shift)[0].total for s in (1, -1)
    ]
    # 2 %: CIC has kinks where particles cross from cell to cell
    assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(float(gradient.norm()), rel=0.02)


def test_true_outputs_leave_what_the_functions_do_not_hold(values):
    trainer = trainer_of(values)
    example = trainer.examples.load(0)
    zero = torch.zeros_like(outputs_of(trainer, 0.0))
    errors, _ = trainer.loss.errors(zero, example, 1.0)
    n, scale = trainer.domain.n_side // 2, np.repeat(trainer.examples.scales.outputs[:3], 3)
    true = -(errors / torch.from_numpy(scale).float()).reshape(n, n, n, -1)
    losses, _ = trainer.loss(true.permute(3, 0, 1, 2)[None], example, 1.0, np.zeros(3))
    assert losses.positions < 1e-6 and losses.velocities < 1e-6
    # of the ten functions seven are left out at D = 1
    assert 0 < losses.density < 0.05
