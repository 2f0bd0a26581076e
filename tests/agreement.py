"""Whether two runs moved their particles to the same places, but for what haloes amplify."""

import json

import h5py
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


def same_results(found, wanted):
    """Bit by bit; and nothing else is left."""
    names = sorted(path.name for path in wanted.iterdir())
    assert sorted(path.name for path in found.iterdir()) == names
    for name in names:
        if name.endswith(".hdf5"):
            with h5py.File(found / name) as a, h5py.File(wanted / name) as b:
                for data in ("Coordinates", "Velocities", "ParticleIDs"):
                    np.testing.assert_array_equal(
                        a[f"PartType1/{data}"][:], b[f"PartType1/{data}"][:]
                    )
        elif name.endswith(".txt"):
            assert (found / name).read_text() == (wanted / name).read_text()
    records = [json.loads((d / "run.json").read_text()) for d in (found, wanted)]
    assert records[0]["evaluations"] == records[1]["evaluations"]
    assert records[0]["estimated_error"] == records[1]["estimated_error"]
