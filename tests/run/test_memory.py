import json
import subprocess
import sys

import pytest
import yaml

import run_sim
from coca.configuration.loading import make_config
from coca.run.checkpoint import CheckpointFiles
from coca.run.memory import checkpoint_disk, cone_memory, disk_space, filled_at_once
from tests import ROOT


def test_a_run_too_large_for_the_machine_is_refused(config_file, capsys):
    sizes = ["particles=8192", "mesh=16384", "box_size=8192.0"]
    arguments = [str(config_file)]
    for size in sizes:
        arguments += ["--set", size]
    assert run_sim.main(arguments) == 2
    assert "GiB of memory, this machine has" in capsys.readouterr().err


CONE = {"z_max": 0.3, "n_side": 128, "shells": 4}


@pytest.mark.parametrize(
    "options",
    [
        {"method": "cola", "force_evaluations": 3, "output": {"redshifts": [1.0, 0.0]}},
        {"force_evaluations": 4, "reference": {"method": "bullfrog", "force_evaluations": 8}},
        {"method": "cola", "force_evaluations": 12, "light_cone": CONE},
        {"light_cone": CONE | {"redshift_space": True, "momentum": True, "z_max": 0.8}},
        {
            "light_cone": {
                "z_max": 0.8,
                "n_side": 8,
                "shells": 1,
                "particles": True,
                "footprint": {"axis": [1.0, 1.0, 0.0], "radius": 20.0},
            }
        },
    ],
    ids=["outputs", "reference", "cone", "redshift space", "particles"],
)
def test_disk_space_is_what_is_there_at_once(options, config_values, tmp_path, monkeypatch):
    """Results and checkpoints, beside the light cone's own files. No more than a third less; a cone
    may have filled half of a shell at the end of a step."""
    values = {"method": "fitted", "force_evaluations": 4, "box_size": 400.0} | options
    output = {"report": False, "checkpoint_minutes": 0.0} | values.pop("output", {})
    values = config_values | values | {"output": config_values["output"] | output}
    seen = []

    def look(files, *arguments):
        paths = (tmp_path / "run").glob("*.hdf5")
        seen.append(sum(path.stat().st_size for path in paths if path.parent.name == "run"))

    for name in ("_write_index", "remove"):
        monkeypatch.setattr(CheckpointFiles, name, both(look, getattr(CheckpointFiles, name)))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    assert run_sim.main([str(tmp_path / "config.yaml"), "--quiet"]) == 0
    estimated = disk_space(make_config(values))
    print(estimated, max(seen))
    least = 0.4 if "light_cone" in options else 0.67
    assert least * estimated < max(seen) < 1.03 * estimated


def both(first, second):
    """A method that calls another before."""

    def call(*arguments):
        first(*arguments)
        return second(*arguments)

    return call


def test_every_rank_saves_its_own_maps(config_values):
    config = make_config(config_values | {"light_cone": CONE})
    assert checkpoint_disk(config, 4) - checkpoint_disk(config) == 3 * 4 * 12 * 128**2


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
