import json
import subprocess
import sys

import pytest
import yaml

import run_sim
from coca.configuration.loading import make_config
from coca.run.memory import cone_memory, disk_space, filled_at_once
from tests import ROOT


def test_a_run_too_large_for_the_machine_is_refused(config_file, capsys):
    sizes = ["particles=8192", "mesh=16384", "box_size=8192.0"]
    arguments = [str(config_file)]
    for size in sizes:
        arguments += ["--set", size]
    assert run_sim.main(arguments) == 2
    assert "GiB of memory, this machine has" in capsys.readouterr().err


def test_disk_space_is_what_is_written(config_values, tmp_path):
    """Snapshots and report of a run, within a quarter of them, and no less."""
    values = config_values | {"method": "cola", "force_evaluations": 1}
    values["output"] |= {"redshifts": [1.0, 0.0], "report": False}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    assert run_sim.main([str(tmp_path / "config.yaml"), "--quiet"]) == 0
    written = sum(path.stat().st_size for path in (tmp_path / "run").rglob("*.hdf5"))
    config = make_config(values)
    assert 0.75 * disk_space(config) < written < 1.1 * disk_space(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "options"),
    [
        (64, {"method": "fitted", "force_evaluations": 2}),  # most of it in the report
        (176, {"method": "cola", "output.redshifts": [1, 0]}),
        (176, {"method": "fitted", "force_evaluations": 2}),
        (128, {"method": "coca", "reference": {"method": "bullfrog", "force_evaluations": 8}}),
        (128, {"method": "nbody", "output.redshifts": [9]}),
    ],
    ids=["report", "cola", "fitted", "coca", "nbody"],
)
def test_memory_estimate_is_within_ten_per_cent(tmp_path, n, options):
    """Against the peak that the run itself measured, in a process of its own; arrays of more than
    32 MiB go back to the system when they are freed, smaller ones as it pleases."""
    values = {
        "particles": n, "mesh": 2 * n, "box_size": 2.0 * n, "threads": 1, "force_evaluations": 1,
        "linear_power.source": "eisenstein_hu", "output.directory": str(tmp_path),
        "reference": None, **options,
    }  # fmt: skip
    command = [sys.executable, "run_sim.py", "configs/quickstart.yaml", "--quiet"]
    for key, value in values.items():
        command += ["--set", f"{key}={json.dumps(value)}"]
    subprocess.run(command, cwd=ROOT, check=True)
    memory = json.loads((tmp_path / "run.json").read_text())["memory"]
    assert memory["estimated"] == pytest.approx(memory["peak"], rel=0.1)


def test_memory_of_a_light_cone_counts_the_shells_that_are_filled_at_once(config_values):
    """In redshift space all thin shells of 150 Mpc/h, maps and particles."""
    cones = [
        {"z_max": 0.3, "n_side": 64, "shells": 100, "particles": True, "redshift_space": space}
        for space in (False, True)
    ]
    configs = [make_config(config_values | {"light_cone": cone}) for cone in cones]
    (one, few), (many, more) = (filled_at_once(c, c.light_cone) for c in configs)
    assert one == 1 and 12 <= many <= 16 and 10 < more / few < many
    plain, redshift_space = (cone_memory(c, c.particles**3) for c in configs)
    assert redshift_space - plain == (many - 1) * 4 * 12 * 64**2 + 110 * (more - few)
