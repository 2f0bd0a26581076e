import numpy as np
import pytest

from coca.errors import ConfigError
from coca.light_cone import healpix


def test_healpy_is_asked_for_by_name(monkeypatch):
    monkeypatch.setattr(healpix, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"coca lens: wanted healpy, .* coca's extra sky"):
        healpix.check_healpy("coca lens")


def test_maps_keep_their_types_and_names(tmp_path):
    healpy = pytest.importorskip("healpy")
    maps = {"counts": np.arange(48, dtype=np.int32), "momentum": np.linspace(0, 1, 48)}
    healpix.write_maps(tmp_path / "x.fits", maps, {"n_side": 2, "box_size": 100.0})
    found, header = healpy.read_map(tmp_path / "x.fits", None, h=True)
    np.testing.assert_array_equal(found[0], maps["counts"])
    np.testing.assert_array_equal(found[1], maps["momentum"])
    known = dict(header)
    assert known["box_size"] == 100.0 and known["NSIDE"] == 2 and known["TTYPE1"] == "counts"
