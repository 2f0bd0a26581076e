import shlex

import pytest

from coca.commands.arguments import EXAMPLES, STATISTICS, parse
from tests import ROOT


def test_examples_of_the_help_are_valid():
    lines = [line.partition("   (")[0].split() for line in EXAMPLES.splitlines()[1:]]
    assert len(lines) >= 4
    for program, *arguments in lines:
        options = parse(arguments)
        assert program == "coca" and (ROOT / options.config).is_file()


def test_values_of_a_command_line():
    line = "run a.yaml --set seed=7 --set output.redshifts=[1,0] --resume"
    options = parse(shlex.split(line))
    assert (options.command, options.config, options.resume) == ("run", "a.yaml", True)
    assert options.set == ["seed=7", "output.redshifts=[1,0]"] and not options.quiet
    options = parse(["analyse", "a.hdf5", "b.hdf5"])
    assert [path.name for path in options.snapshots] == ["a.hdf5", "b.hdf5"]
    assert options.statistics == STATISTICS and options.mesh is None


@pytest.mark.parametrize("line", ["", "walk", "run", "fit", "analyse", "run a --bogus"])
def test_only_one_rank_says_what_is_wrong(line, capsys):
    for speaks in (True, False):
        with pytest.raises(SystemExit) as stop:
            parse(line.split(), speaks)
        assert stop.value.code == 2
        out, error = capsys.readouterr()
        assert out == "" and (error.count("usage: coca") == 1) == speaks
