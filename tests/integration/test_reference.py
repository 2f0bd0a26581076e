import numpy as np

from coca.integration.reference import bullfrog_run
from tests.problem import D_START


def test_the_reference_is_bullfrog_from_2lpt(smooth):
    run = bullfrog_run(
        smooth.domain, smooth.cosmology, smooth.conditions, smooth.force, D_START, 6, [0.5, 1.0]
    )
    for found, wanted in zip(run, smooth.bullfrog(6, (0.5, 1.0)), strict=True):
        np.testing.assert_array_equal(found.disp, wanted.disp)
        np.testing.assert_array_equal(found.vel, wanted.vel)
