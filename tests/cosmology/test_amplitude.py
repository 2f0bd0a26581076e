from dataclasses import replace

import pytest

from coca.cosmology import linear_power
from coca.cosmology.amplitude import amplitude, known_amplitude
from coca.cosmology.linear_power import sigma_8_of


def test_both_amplitudes_are_of_one_power(cosmology):
    found = amplitude(cosmology, "eisenstein_hu")
    again = sigma_8_of(found.A_s, cosmology, "eisenstein_hu")
    assert found.sigma_8 == cosmology.sigma_8 == pytest.approx(again)
    assert found.describe() == f"sigma_8 = 0.834, A_s = {found.A_s:.4g} by eisenstein_hu"


def test_a_table_tells_no_primordial_amplitude(cosmology):
    assert amplitude(cosmology, "table").describe() == "sigma_8 = 0.834"


def test_nobody_waits_for_camb(cosmology, monkeypatch):
    """Where it would have to compute, Eisenstein and Hu answer, who know no neutrinos."""
    monkeypatch.setattr(linear_power, "is_at_hand", lambda *asked: False)
    assert known_amplitude(cosmology, "camb") == amplitude(cosmology, "eisenstein_hu")
    assert known_amplitude(replace(cosmology, m_nu=0.1), "camb").A_s is None
