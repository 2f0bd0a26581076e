import numpy as np
import pytest

from coca.emulator.symmetry import Symmetry
from tests.emulator.images import SYMMETRIES, image, planar
from tests.emulator.training import trainer_of


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_features_of_an_image_are_the_image_of_features(values, symmetry):
    trainer = trainer_of(values)
    n = trainer.domain.n_side
    plain, found = (
        planar(trainer.examples.load(0, s).features()[0].permute(1, 2, 3, 0).float().numpy(), n)
        for s in (Symmetry(), symmetry)
    )
    vectors = [image(plain[i : i + 3], symmetry) for i in (0, 3, 6, 9)]
    scalars = [image(plain[i : i + 1][0], symmetry, False)[None] for i in range(12, 16)]
    np.testing.assert_array_equal(found, np.concatenate(vectors + scalars))
    psi1 = trainer.simulations.load(0)[0].reshape(3, n, n, n) / trainer.examples.scales.inputs[0]
    np.testing.assert_allclose(plain[:3], psi1, rtol=2**-8)  # bfloat16
