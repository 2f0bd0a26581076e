"""Runs that stop somewhere and go on, and the same runs when nobody disturbs them."""

import json

import yaml

import run_sim


def saved_often(config_values):
    """A run of several steps with two outputs and a reference, saved at every step."""
    output = {"redshifts": [1.0, 0.0], "report": False, "checkpoint_minutes": 0.0}
    return config_values | {
        "output": config_values["output"] | output,
        "force_evaluations": 6,
        "reference": {"force_evaluations": 32},
    }


def written(values, path):
    """The configuration's file."""
    path.write_text(yaml.safe_dump(values))
    return path


def run(config_file, *arguments):
    return run_sim.main([str(config_file), "--quiet", *arguments])


class Undisturbed:
    """The files of runs from their beginning to their end, each run once."""

    def __init__(self, directory):
        self._directory, self._known = directory, {}

    def __call__(self, values):
        """The directory of the run of a configuration, whichever its own directory is."""
        nowhere = values | {"output": values["output"] | {"directory": None}}
        key = json.dumps(nowhere, sort_keys=True)
        if key not in self._known:
            directory = self._directory / str(len(self._known))
            config_file = written(values, directory.with_suffix(".yaml"))
            assert run(config_file, "--set", f"output.directory={directory}") == 0
            self._known[key] = directory
        return self._known[key]
