"""Units and headers of snapshots as other codes have them, of a box in Mpc/h at a scale factor."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from coca.cosmology.background import Cosmology, redshift

UNITS = {
    "UnitLength_in_cm": 3.085678e21,
    "UnitMass_in_g": 1.989e43,
    "UnitVelocity_in_cm_per_s": 1e5,
}
"""kpc/h, 1e10 Msun/h and km/s, each without its factor of h, in the numbers of Gadget's parameter
files."""

SWIFT_UNITS = {
    "Unit length in cgs (U_L)": 3.08567758149e21,
    "Unit mass in cgs (U_M)": 1.98841e43,
    "Unit time in cgs (U_t)": 3.08567758149e16,
    "Unit current in cgs (U_I)": 1.0,
    "Unit temperature in cgs (U_T)": 1.0,
}
"""The same as SWIFT asks for them: it converts to units of its own, so that these are what they are
called. In 1.989e33 g to the solar mass its particles would have 3e-4 more than Omega_m."""


class Convention(NamedTuple):
    """How a code has its snapshots."""

    lengths: float
    """Units of length in 1 Mpc/h, comoving."""
    mass: float
    """The unit of mass in Msun/h."""
    speed: float
    """The unit of velocity in km/s of peculiar velocity."""
    first_id: int
    header: dict
    """Attributes of Header beside the counts."""
    groups: dict[str, dict]
    """Attributes of other groups."""


def gadget(cosmology: Cosmology, box_size: float, a: float) -> Convention:
    """Gadget's: kpc/h, 10^10 Msun/h, peculiar velocities over sqrt(a)."""
    header = {
        "Time": a,
        "Redshift": redshift(a),
        "BoxSize": 1e3 * box_size,
        "Omega0": cosmology.Omega_m,
        "OmegaLambda": 1.0 - cosmology.Omega_m,
        "HubbleParam": cosmology.h,
        **({} if cosmology.background.is_lambda else {"w0": cosmology.w0, "wa": cosmology.wa}),
        **dict.fromkeys(("Flag_Sfr", "Flag_Cooling", "Flag_Feedback", "Flag_StellarAge"), 0),
        **dict.fromkeys(("Flag_Metals", "Flag_DoublePrecision", "Flag_Entropy_ICs"), 0),
    }
    return Convention(1e3, 1e10, math.sqrt(a), 0, header, {"Units": UNITS | SWIFT_UNITS})


def swift(cosmology: Cosmology, box_size: float, a: float) -> Convention:
    """SWIFT's: comoving Mpc and 10^10 Msun without h, peculiar velocities a dx/dt in km/s, a box of
    three sides, identifiers from 1."""
    h = cosmology.h
    header = {
        "Redshift": redshift(a),
        "BoxSize": np.full(3, box_size / h),
        "Dimension": 3,
        "Flag_Entropy_ICs": 0,
    }
    known = {
        "Cosmological run": 1,
        "Scale-factor": a,
        "Redshift": redshift(a),
        "Omega_m": cosmology.Omega_m,
        "Omega_b": cosmology.Omega_b,
        "Omega_lambda": 1.0 - cosmology.Omega_m,
        "h": h,
        "w_0": cosmology.w0,
        "w_a": cosmology.wa,
    }
    length, _, time, *_ = SWIFT_UNITS
    units = SWIFT_UNITS | {key: 1e3 * SWIFT_UNITS[key] for key in (length, time)}
    return Convention(1 / h, 1e10 * h, 1.0, 1, header, {"Units": units, "Cosmology": known})
