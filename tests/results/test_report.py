"""The report: what is on the page in which case, and that the page stands alone."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from coca.configuration.loading import make_config
from coca.parallel.domain import Domain
from coca.results import report, report_figures
from coca.results.write import write_results
from coca.run.plan import make_plan
from coca.run.progress import Progress
from coca.run.simulation import run_plan
from tests import slow

ALWAYS = ["trust", "residual", "time", "configuration", "machine", "files"]


CASES = {
    "several redshifts": {"output": {"redshifts": [2.0, 0.5, 0.0]}},
    "reference": {"reference": {"force_evaluations": 8}},
    "no frame": {"method": "bullfrog"},
    "no frame, reference": {"method": "pm", "reference": {"force_evaluations": 8}},
    "no forces": {"force_evaluations": 0},
    "no forces, reference": {"force_evaluations": 0, "reference": {"force_evaluations": 8}},
    "emulator": {"method": "coca", "force_evaluations": 2, "cosmology.Omega_m": 0.6},
}


def write(values, directory, change=lambda plan: plan):
    """A run with its files; the page, parsed, its text, and the record."""
    values = values | {"output": {"directory": str(directory), **values["output"]}}
    plan = change(make_plan(make_config(values)))
    write_results(plan, run_plan(plan), Progress(quiet=True))
    text = (directory / "report.html").read_text()
    record = json.loads((directory / "run.json").read_text())
    return ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n")), text, record


QUICK = "several redshifts", "no frame, reference"


@pytest.fixture(scope="module", params=[*QUICK, *slow(*(k for k in CASES if k not in QUICK))])
def case(request, tmp_path_factory):
    """Name of the case, page, text, record and directory."""
    values = {
        "cosmology": {
            "Omega_m": 0.3175, "Omega_b": 0.049, "h": 0.6711, "n_s": 0.9624, "sigma_8": 0.834,
        },
        "linear_power": {"source": "eisenstein_hu"},
        "box_size": 64.0, "particles": 32, "mesh": 64, "seed": 3, "threads": 1,
        "method": "fitted", "force_evaluations": 3, "output": {"snapshots": False},
    }  # fmt: skip
    options = dict(CASES[request.param])
    values["cosmology"]["Omega_m"] = options.pop("cosmology.Omega_m", 0.3175)
    values["output"] |= options.pop("output", {})
    directory = tmp_path_factory.mktemp("run")
    return request.param, *write(values | options, directory), directory


def ids(root):
    return [element.get("id") for element in root.iter("section")]


def words(element):
    return " ".join("".join(element.itertext()).split())


def section(root, name):
    return next(element for element in root.iter("section") if element.get("id") == name)


def test_every_section_is_there(case):
    name, root, _, record, _ = case
    outputs = len(record["config"]["output"]["redshifts"])
    wanted = ["trust", *(f"output-{i}" for i in range(outputs)), *ALWAYS[1:]]
    assert ids(root) == (["warnings"] if record["warnings"] else []) + wanted
    assert len(section(root, "output-0").findall("figure")) == 2
    measured = bool(record["evaluations"])
    assert len(list(section(root, "residual").iter("img"))) == measured
    assert (len(list(section(root, "output-0").iter("table"))) == 1) == ("reference" in name)
    assert ("Measured against the reference" in words(section(root, "trust"))) == (
        "reference" in name
    )


def test_a_reference_that_the_run_does_not_end_at_is_named(case):
    """A converged mesh beside steps that end at N-body: its power in haloes is less."""
    name, root, _, record, _ = case
    other = "reference" in name and record["truth"] == "N-body"
    assert ("which has less power in haloes than N-body" in words(section(root, "trust"))) == other


def test_the_page_stands_alone(case):
    """It is well-formed, having been parsed; everything shown is inside it; all links lead to
    files beside it."""
    _, root, text, record, directory = case
    assert not re.search(r"https?:|@import|url\(", text)
    assert not list(root.iter("script")) and not list(root.iter("link"))
    for image in root.iter("img"):
        assert image.get("src").startswith("data:image/png;base64,")
        assert image.get("alt")
    targets = {link.get("href") for link in root.iter("a")}
    assert targets == {*record["files"], "run.json"}
    assert all((directory / target).is_file() for target in targets)


def test_figures_are_files_too(case):
    *_, record, directory = case
    names = [name for name in record["files"] if name.endswith(".png")]
    outputs = len(record["config"]["output"]["redshifts"])
    assert len(names) == 2 * outputs + 2 + bool(record["evaluations"])
    for name in names:
        pixels = matplotlib.image.imread(directory / name)
        assert pixels.shape[1] == report_figures.WIDTH * report_figures.DPI
        assert np.mean(pixels[..., :3] < 1.0) > 0.01  # axes and labels of the emptiest have 0.03
        pdf = name.replace(".png", ".pdf")
        assert name == "report.png" or (pdf in record["files"] and (directory / pdf).is_file())


def test_numbers_are_those_of_the_record(case):
    _, root, _, record, _ = case
    text = words(root)
    assert record["trust"] in text and record["method"] in text
    box = "64 Mpc/h, 32³ particles, seed 3; Omega_m "
    assert box in words(root.find("body/header")) and box in root.find("head/title").text
    for warning in record["warnings"]:
        assert warning in words(section(root, "warnings"))
    rows = {
        words(row.find("th")): [words(cell) for cell in row.findall("td")]
        for row in section(root, "time").iter("tr")
        if row.find("td") is not None
    }
    seconds = {stage: s for stage, s in record["timings"].items() if stage != "report"}
    assert {stage: cells[0] for stage, cells in rows.items()} == {
        stage: f"{s:.3f}" for stage, s in seconds.items()
    }
    found = [
        words(cell) for row in section(root, "residual").iter("tr") for cell in row.findall("td")
    ]
    assert found[2::4] == [f"{residual:.4g}" for residual in record["residual_rms"]]
    configuration = words(section(root, "configuration"))
    for key, value in record["config"]["cosmology"].items():
        assert f"{key}{value}" in configuration.replace(" ", "")


def test_a_rejected_frame_is_a_warning(config_values, tmp_path):
    """Steps that expect residuals of a far better frame give way to explicit ones."""

    def distrust(plan):
        first, *others = plan.methods
        table = first.table
        counts = {n: replace(c, residuals=0.01 * c.residuals) for n, c in table.by_count.items()}
        return replace(
            plan, methods=(replace(first, table=replace(table, by_count=counts)), *others)
        )

    root, _, record = write(config_values, tmp_path / "run", distrust)
    assert (
        words(root.find(".//h1"))
        == "COLA, explicit kicks in the frame of 2LPT, 3 force evaluations"
    )
    assert "fitted steps in the frame of 2LPT given up" in record["warnings"][-1]
    assert record["warnings"][-1] in words(section(root, "warnings"))


def test_hostile_names_are_text(config_values, tmp_path):
    hostile = """<img src='x' onerror="alert(1)"/>&amp;{{ 1 + 1 }}</td>"""
    directory = tmp_path / hostile
    config_values["output"]["directory"] = str(directory)
    root, text, _ = write(config_values, directory)
    assert "<img src='x'" not in text
    assert str(directory) in words(section(root, "configuration"))


@pytest.mark.parametrize("cells", [32, 64, 96])
def test_projected_density(cells):
    """A lattice gives one everywhere; a plane of particles put upon another, two there and none
    where it was, within a cloud."""
    domain = Domain(64.0, 32)
    simulation = SimpleNamespace(domain=domain)
    disp = np.zeros((3, 32**3), np.float32)
    image = report._projected_density(simulation, disp, cells)
    np.testing.assert_allclose(image, 1.0, rtol=1e-6)  # float32 sums
    disp.reshape(3, 32, 32, 32)[1, :, 10] = 2.0
    along_y = report._projected_density(simulation, disp, cells).mean(axis=1)
    each = cells // 32
    assert along_y.mean() == pytest.approx(1.0, rel=1e-6)
    assert along_y[10 * each : 11 * each].min() < 0.5 < 1.5 < along_y.max() < 2.1
    untouched = np.r_[along_y[: 9 * each], along_y[13 * each :]]
    np.testing.assert_allclose(untouched, 1.0, rtol=1e-6)


def test_the_slab_is_no_deeper_than_the_box():
    """All particles of a box of 8 Mpc/h are in it, wherever they are."""
    domain = Domain(8.0, 8)
    disp = np.random.default_rng(1).normal(0.0, 2.0, (3, 8**3)).astype(np.float32)
    image = report._projected_density(SimpleNamespace(domain=domain), disp, 16)
    assert image.mean() == pytest.approx(1.0, rel=1e-6)
    assert image.std() > 0.1


@pytest.mark.parametrize("width", [1, 2, 3])
def test_running_mean_is_scipys(width):
    image = np.random.default_rng(3).random((12, 12))
    wanted = uniform_filter(image, width, mode="wrap")
    np.testing.assert_allclose(report.running_mean(image, width), wanted, rtol=1e-12)
