"""Units of other codes, in numbers worked out by hand."""

import pytest

from coca.files.conventions import SWIFT_UNITS, gadget, swift

MPC, MSUN = 3.085678e24, 1.989e33


def test_gadget_has_h_and_the_root_of_a(cosmology):
    units = gadget(cosmology, 64.0, 0.25)
    assert (units.lengths, units.mass, units.speed, units.first_id) == (1e3, 1e10, 0.5, 0)
    assert units.header["BoxSize"] == 64e3 and units.header["Time"] == 0.25
    assert units.groups["Units"]["UnitLength_in_cm"] == pytest.approx(MPC / 1e3)


def test_swift_has_neither(cosmology):
    units, h = swift(cosmology, 64.0, 0.25), cosmology.h
    assert (units.lengths, units.mass, units.speed) == (1 / h, 1e10 * h, 1.0)
    assert units.first_id == 1
    assert units.header["BoxSize"].tolist() == [64.0 / h] * 3 and "Time" not in units.header
    length, mass, time, *_ = (units.groups["Units"][name] for name in SWIFT_UNITS)
    assert length == pytest.approx(MPC) and mass == pytest.approx(1e10 * MSUN)
    assert length / time == pytest.approx(1e5)
    assert units.groups["Cosmology"]["Scale-factor"] == 0.25
