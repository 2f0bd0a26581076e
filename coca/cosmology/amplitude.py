"""How strong the linear power is, as sigma_8 and as the A_s that gives it."""

from __future__ import annotations

from typing import NamedTuple

from coca.cosmology import linear_power
from coca.cosmology.background import Cosmology


class Amplitude(NamedTuple):
    """How strong the linear power is."""

    sigma_8: float
    A_s: float | None
    """What gives sigma_8; None for a table, which cannot tell."""
    source: str
    """Which linear power says so."""

    def describe(self) -> str:
        """The amplitude in words."""
        if self.A_s is None:
            return f"sigma_8 = {self.sigma_8:.4g}"
        return f"sigma_8 = {self.sigma_8:.4g}, A_s = {self.A_s:.4g} by {self.source}"


def amplitude(cosmology: Cosmology, source: str) -> Amplitude:
    """How strong a source says the linear power is, which takes CAMB's time."""
    A_s = None if source == "table" else linear_power.A_s_of(cosmology, source)
    return Amplitude(cosmology.sigma_8, A_s, source)


def known_amplitude(cosmology: Cosmology, source: str) -> Amplitude:
    """The amplitude as far as it is known without CAMB's time: CAMB's where it is kept."""
    known = linear_power.is_at_hand(cosmology, source)
    if cosmology.m_nu and not known:
        return Amplitude(cosmology.sigma_8, None, source)  # Eisenstein and Hu know none
    return amplitude(cosmology, source if known else "eisenstein_hu")
