"""Units of other codes, in numbers worked out by hand."""

import math

import pytest

from coca.cosmology.background import RHO_CRIT
from coca.files.conventions import SWIFT_UNITS, gadget, swift

MPC, MSUN = 3.08567758149e24, 1.98841e33
NEWTON = 6.67430e-8
"""CODATA 2018, cm^3 / g / s^2; SWIFT has these three."""


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
    assert length == pytest.approx(MPC, rel=1e-12) and mass == pytest.approx(1e10 * MSUN, rel=1e-12)
    assert length / time == pytest.approx(1e5, rel=1e-12)
    assert units.groups["Cosmology"]["Scale-factor"] == 0.25


@pytest.mark.parametrize("convention", [gadget, swift])
def test_in_swifts_units_particles_have_the_mass_of_omega_m(cosmology, convention):
    """What SWIFT's force has: G times the mean density in gram, 3 H0^2 / (8 pi) of Omega_m;
    3e-4 more of it, of a heavier Sun, is 1e-3 in P at z = 0."""
    units, length = convention(cosmology, 64.0, 0.05), "Unit length in cgs (U_L)"
    mass = units.groups["Units"]["Unit mass in cgs (U_M)"] / units.mass  # of 1 Msun/h, in gram
    side = units.lengths * units.groups["Units"][length]  # of 1 Mpc/h, in cm
    if convention is gadget:  # SWIFT divides by h itself
        mass, side = mass / cosmology.h, side / cosmology.h
    H0 = cosmology.h * 1e7 / MPC
    density = RHO_CRIT * mass / side**3
    assert 8 * math.pi * NEWTON * density / (3 * H0**2) == pytest.approx(1, rel=1e-6)
