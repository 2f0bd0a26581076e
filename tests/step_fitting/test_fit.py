from coca.configuration.fitting import FitConfig
from coca.configuration.loading import load_config
from coca.step_fitting.fit import boundary_fractions, threshold_of


def test_numbers_of_steps_may_have_no_sub_steps():
    """In the fit of the emulator's table two steps have none, and boundaries that belong to it."""
    config = load_config("configs/fit_emulator_steps.yaml", [], FitConfig)
    assert [threshold_of(count, config) for count in (1, 2, 3, 4, 7)] == [
        None,
        None,
        0.25,
        0.18,
        None,
    ]
    assert boundary_fractions(2, config)[1] == 0.5**0.7
    assert boundary_fractions(4, config)[2] == 0.5**0.75
