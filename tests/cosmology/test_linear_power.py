import re
from dataclasses import replace

import numpy as np
import pytest

import run_sim
from coca.cosmology import linear_power as linear_power_module
from coca.cosmology.background import Cosmology
from coca.cosmology.linear_power import A_s_of, linear_power, neutrino_warnings, sigma_8_of
from coca.errors import FileError

K = np.geomspace(2e-3, 5.0, 60)


def test_sigma_8_is_as_asked_and_by_direct_quadrature(cosmology, power):
    assert power.sigma(8.0) == pytest.approx(cosmology.sigma_8, rel=1e-6)
    k = np.geomspace(1e-5, 50, 400_000)
    x = 8.0 * k
    window = 3 * (np.sin(x) - x * np.cos(x)) / x**3
    variance = np.trapezoid(k**2 * power(k) * window**2, k) / (2 * np.pi**2)
    assert np.sqrt(variance) == pytest.approx(cosmology.sigma_8, rel=1e-4)


def test_eisenstein_hu_is_within_its_accuracy_of_camb(cosmology, power):
    pytest.importorskip("camb")
    camb = linear_power(cosmology, "camb")
    # the fit's own accuracy: a few per cent, at worst at the baryon oscillations
    assert np.abs(power(K) / camb(K) - 1).max() < 0.05
    assert camb.sigma(8.0) == pytest.approx(cosmology.sigma_8, rel=1e-6)


def test_table_keeps_its_shape_and_gets_its_norm(tmp_path, cosmology, power):
    path = tmp_path / "power.txt"
    np.savetxt(path, np.column_stack([power.k, 7.0 * power.P]))
    table = linear_power(cosmology, "table", path)
    np.testing.assert_allclose(table(K), power(K), rtol=1e-6)


def test_zero_mode_has_no_power(power):
    assert power(0.0) == 0.0


@pytest.mark.parametrize("text", ["", "1 2\n3", "0.1 5\n0.05 6\n", "a b\n"])
def test_bad_table_is_one_clear_error(tmp_path, cosmology, text):
    path = tmp_path / "power.txt"
    path.write_text(text)
    with pytest.raises(FileError, match=r"linear_power\.file.*k \[h/Mpc\]"):
        linear_power(cosmology, "table", path)


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "text", "1e999", "\0"])
def test_senseless_tables_of_power_are_one_error(value, config_file, tmp_path, capsys):
    rows = [f"{0.01 * i} {100.0 / i}" for i in range(1, 20)]
    rows[7] = f"0.08 {value}"
    (tmp_path / "power.txt").write_text("\n".join(rows))
    source = {"source": "table", "file": str(tmp_path / "power.txt")}
    assert run_sim.main([str(config_file), "--set", f"linear_power={source}"]) == 2
    assert re.fullmatch(r"error: linear_power\.file: .*\n", capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


def test_cambs_spectrum_is_kept_and_damage_is_mended(cosmology, tmp_path, monkeypatch):
    pytest.importorskip("camb")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = linear_power_module._camb.__wrapped__(cosmology)
    (path,) = (tmp_path / "coca").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(linear_power_module, "_from_camb", lambda cosmology: pytest.fail("again"))
        again = linear_power_module._camb.__wrapped__(cosmology)
    np.testing.assert_array_equal([first.k, first.P], [again.k, again.P])
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    mended = linear_power_module._camb.__wrapped__(cosmology)
    np.testing.assert_array_equal(first.P, mended.P)
    np.testing.assert_array_equal(np.load(path)["P"], first.P)


def test_without_a_cache_camb_is_asked_all_the_same(cosmology, tmp_path, monkeypatch):
    pytest.importorskip("camb")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert np.isfinite(linear_power_module._camb.__wrapped__(cosmology).P).all()


def test_an_amplitude_and_its_sigma_8_are_two_ways_to_say_one(cosmology):
    A_s = A_s_of(cosmology, "eisenstein_hu")
    assert sigma_8_of(A_s, cosmology, "eisenstein_hu") == pytest.approx(cosmology.sigma_8)
    # Planck 2018 (arXiv:1807.06209, table 2): A_s = 2.1e-9 is sigma_8 = 0.81; neutrinos of 0.06 eV
    # take 5 % from sigma_8^2, and the fit is 2 % high
    planck = Cosmology(0.3153, 0.0493, 0.6736, 0.9649, 0.8111)
    assert A_s_of(planck, "eisenstein_hu") == pytest.approx(2.1e-9, rel=0.08)


@pytest.mark.slow
def test_amplitudes_are_cambs():
    camb = pytest.importorskip("camb")
    c = Cosmology(0.3, 0.049, 0.67, 0.96, 0.8, -0.9, 0.2)
    parameters = camb.set_params(
        H0=67, ombh2=0.049 * 0.67**2, omch2=0.251 * 0.67**2, mnu=0.0, omk=0.0, ns=0.96, As=2.1e-9,
        WantTransfer=True, WantCls=False, dark_energy_model="ppf", w=c.w0, wa=c.wa,
    )  # fmt: skip
    parameters.set_matter_power(redshifts=[0.0], kmax=10.0)
    theirs = float(camb.get_results(parameters).get_sigma8_0())
    assert sigma_8_of(2.1e-9, c, "camb") == pytest.approx(theirs, rel=1e-3)
    # radiation and the fit's shape
    assert sigma_8_of(2.1e-9, c, "eisenstein_hu") == pytest.approx(theirs, rel=0.03)
    assert A_s_of(replace(c, sigma_8=theirs), "camb") == pytest.approx(2.1e-9, rel=2e-3)


def test_neutrinos_take_power_of_short_waves():
    """By 8 of their share in matter (Hu, Eisenstein and Tegmark 1998), to a part in ten, with as
    much power at large scales."""
    pytest.importorskip("camb")
    without = Cosmology(0.3175, 0.049, 0.6711, 0.9624, 0.834)
    some = replace(without, m_nu=0.15)
    share = 0.15 / 93.14 / 0.6711**2 / 0.3175
    A_s, k = 2e-9, np.array([1e-3, 5.0])
    powers = [linear_power(replace(c, sigma_8=sigma_8_of(A_s, c, "camb")), "camb")(k)
              for c in (without, some)]  # fmt: skip
    large, small = powers[1] / powers[0] - 1
    assert abs(large) < 0.01 and small == pytest.approx(-8 * share, rel=0.1)
    assert neutrino_warnings(without) == []
    assert "m_nu = 0.15 eV: " in neutrino_warnings(some)[0] and "3 %" in neutrino_warnings(some)[0]
    assert "m_nu" not in without.known()
