import re

import pytest

from coca.__main__ import main


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("redshift=2.0", r"growth_factors: found 0\.25, wanted at least"),
        ("particles=512; mesh=1024", "simulations, particles: need .* GiB of memory"),
        ("mesh=64", "mesh: found 64, wanted 2 or 3 times particles = 64"),
        ("mesh=100", "mesh: found 100, wanted 1, 2 or 3 times particles = 64"),
        ("spacing=[0.0, 1.0]", "spacing: found .* wanted two positive numbers"),
        (
            "substep_thresholds={13: 0.2}",
            "substep_thresholds: found 13, wanted numbers from 1 to force_evaluations, 6",
        ),
        (
            "boundaries={13: [0.5]}",
            "boundaries: found 13, wanted numbers from 1 to force_evaluations, 6",
        ),
        ("batch=300", "batch: found 300, wanted at most 256"),
        (
            "boundaries={3: [0.5]}",
            r"boundaries\.3: found \(0\.5,\), wanted 2 values between 0 and 1",
        ),
        (
            "boundaries={3: [0.5, 0.4]}",
            r"boundaries\.3: found \(0\.5, 0\.4\), wanted .* increasing",
        ),
        (
            "boundaries={3: [0.5, 1.0]}",
            r"boundaries\.3: found \(0\.5, 1\.0\), wanted .* increasing",
        ),
    ],
)
def test_fits_that_cannot_be_are_refused(values, message, capsys):
    given = [part for value in values.split("; ") for part in ("--set", value)]
    assert main(["fit", "configs/fit_steps.yaml", *given]) == 2
    assert re.search(message, capsys.readouterr().err)
