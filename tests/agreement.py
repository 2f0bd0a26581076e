"""Whether two runs moved their particles to the same places, but for what haloes amplify."""

import numpy as np

HANDFUL = 0.001
"""Part of the particles whose orbits in haloes, in sub-steps, amplify the round-off of the
potential so far that they make half of the rms; how far depends on the plans that FFTW finds."""


def check_same(found, wanted, round_off, left_out, worst=1e4):
    """Vectors (3, N) agree in rms per component but for the share `left_out` of particles that
    differ most, and all of them to `worst` times that."""
    squares = np.sort(np.sum((found - wanted).astype(np.float64) ** 2, axis=0))
    most = squares[: len(squares) - int(left_out * len(squares))]
    assert np.sqrt(most.mean() / 3.0) < round_off
    assert np.sqrt(squares[-1]) < worst * round_off
