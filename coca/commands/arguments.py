"""The arguments of all commands. Nothing is imported here that takes time."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path

from coca import __version__

EXAMPLES = """\
examples:
  coca run configs/quickstart.yaml --dry-run
  coca run configs/quickstart.yaml --set seed=7 --set output.directory=runs/seed7
  coca run configs/quickstart.yaml --set force_evaluations=8 --set threads=2
  coca run configs/quickstart.yaml --set method=fitted     (fitted steps, without the network)
  coca run configs/large.yaml --resume                     (after it was interrupted)
"""
RUN = """\
Run a simulation, or an ensemble of them.

The configuration says what is run; --set changes single values of it. Results appear in
output.directory: Gadget HDF5 snapshots, power spectra as text, run.json with everything that
is known of the run, and report.html with its figures, also in report.png and report/. Results that
are there already are replaced with --overwrite only.
"""
ICS = """\
Write the particles that a run of this configuration starts on.

ics.hdf5 appears in output.directory: a Gadget HDF5 snapshot at initial_conditions.redshift, which
Gadget and SWIFT start on, and so does coca (initial_conditions.snapshot); see
docs/initial_conditions.md.
"""
ANALYSE = """\
Statistics of snapshots, ours and other codes'.

Each statistic gives a table (text, or HDF5 for haloes) and a figure; several snapshots are also
correlated with the first. docs/statistics.md has the definitions.
"""
LENS = """\
Convergence, shear and C_l of a run's light cone, in the Born approximation.

The shells of output.directory are read. convergence.fits, shear.fits (of the whole sky), all maps
in lensing.hdf5, C_l.txt and C_l.csv beside theory, and lensing.png appear in its lensing/, and with
--galaxies what lenses each of them in galaxies.hdf5; docs/light_cone.md.
"""
COLLECT = """\
Parameters and summaries of an ensemble in one HDF5 file, for inference.

summaries.hdf5 appears in the ensemble's output.directory: parameters, seeds, power spectra, and
with --sources C_l, PDF and peaks of each member's convergence; docs/formats.md.
"""
TRAIN = """\
Train an emulator on simulations that it makes itself.

Simulations are made once, in simulations.directory of the configuration. The file `weights` appears
at the end, and checkpoints beside it, from which a training goes on that was interrupted;
docs/emulator.md.
"""
FIT = """\
Fit steps, or the network that reads them out, to simulations that are made for it.

Simulations are made once, in simulations_directory of the configuration. The file `table`
appears: fitted steps for each number of force evaluations (configs/fit_steps.yaml) or, where the
configuration has `steps`, those with a network for each (configs/fit.yaml); docs/steps.md.
"""
STATISTICS = "power,momentum,displacement,multipoles,bispectrum,pdf,haloes"


def parse(arguments: list[str] | None, speaks: bool = True) -> argparse.Namespace:
    """Read a command line, with the command's name in `command`.

    Parameters
    ----------
    arguments : list of str, optional
        By default those of the process.
    speaks : bool
        Whether this process says what is wrong with them.
    """
    with ExitStack() as silence:
        if not speaks:
            nowhere = silence.enter_context(open(os.devnull, "w"))
            silence.enter_context(redirect_stdout(nowhere))
            silence.enter_context(redirect_stderr(nowhere))
        return _parser().parse_args(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coca", description="Cosmological N-body simulations in the frame of an emulator."
    )
    parser.add_argument("--version", action="version", version=f"coca {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    ics = _command(commands, "ics", "write initial conditions", ICS)
    _add_configuration(ics, "configs/quickstart.yaml", "initial_conditions.redshift=49")
    ics.add_argument(
        "--swift",
        action="store_true",
        help="in SWIFT's conventions: no h in units, Mpc, peculiar velocities, identifiers from 1",
    )
    _add_overwrite(ics, "an ics.hdf5 that is in output.directory")
    _add_analyse(commands)
    _add_lens(commands)
    _add_collect(commands)
    train = _command(commands, "train", "train an emulator", TRAIN)
    _add_configuration(train, "configs/train.yaml", "optimiser.iterations=100")
    _add_simulations(train, "train", "on")
    _add_overwrite(train, "a file of weights that is there")
    fit = _command(commands, "fit", "fit steps, or the network that reads them out", FIT)
    _add_configuration(fit, "configs/fit.yaml", "frame=emulator")
    _add_simulations(fit, "fit", "to")
    _add_overwrite(fit, "a table that is there; one that counts go into is anyhow")
    return parser


def _add_configuration(parser: argparse.ArgumentParser, example: str, override: str) -> None:
    parser.add_argument("config", help=f"YAML file, such as {example}")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value of the file; dotted keys, YAML values; may be repeated; "
        f"for example {override}",
    )


def _add_overwrite(parser: argparse._ActionsContainer, what: str) -> None:
    parser.add_argument("--overwrite", action="store_true", help=f"replace {what}")


def _add_simulations(parser: argparse.ArgumentParser, verb: str, how: str) -> None:
    parser.add_argument(
        "--only-simulations", action="store_true", help=f"make the simulations and do not {verb}"
    )
    parser.add_argument(
        "--as-they-come",
        action="store_true",
        help=f"{verb} {how} the simulations that are there, while another process makes more",
    )


def _command(
    commands: argparse._SubParsersAction,
    name: str,
    help: str,
    description: str,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    """The parser of a command, whose description and epilog keep their lines."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=description, epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    return parser


def _add_run(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "run", "run a simulation", RUN, epilog=EXAMPLES)
    _add_configuration(parser, "configs/quickstart.yaml", "seed=7")
    parser.add_argument(
        "--dry-run", action="store_true", help="check, print plan, memory and cost, and stop"
    )
    there = parser.add_mutually_exclusive_group()
    there.add_argument(
        "--resume", action="store_true", help="go on with a run that was interrupted"
    )
    _add_overwrite(there, "results that are in output.directory")
    parser.add_argument("--quiet", action="store_true", help="print errors only")


def _add_analyse(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "analyse", "statistics of snapshots", ANALYSE)
    parser.add_argument("snapshots", nargs="+", type=Path, metavar="SNAPSHOT", help="Gadget HDF5")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the first snapshot's")
    parser.add_argument(
        "--statistics", default=STATISTICS, metavar="LIST", help="default: %(default)s"
    )
    parser.add_argument(
        "--mesh", type=int, metavar="M", help="cells per dimension; default: twice the particles"
    )
    parser.add_argument(
        "--pdf-window", default="top_hat", metavar="WINDOW", help="top_hat or gaussian"
    )
    parser.add_argument(
        "--pdf-radii", metavar="LIST", help="Mpc/h; default: 2, 4 and 8 cells of the mesh"
    )
    parser.add_argument(
        "--halo-particles", action="store_true", help="halo catalogues have particles' ids"
    )


def _add_lens(commands: argparse._SubParsersAction) -> None:
    parser = _command(commands, "lens", "lensing by a run's light cone", LENS)
    parser.add_argument("directory", type=Path, metavar="DIRECTORY", help="of a run")
    parser.add_argument(
        "--sources",
        required=True,
        metavar="Z|FILE",
        help="redshift of the sources, or text with columns z and n(z)",
    )
    parser.add_argument(
        "--galaxies",
        type=Path,
        metavar="FILE",
        help="text with columns longitude and latitude in degrees, and redshift: convergence and "
        "shear of each in galaxies.hdf5",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: DIRECTORY/lensing")
    _add_overwrite(parser, "files of lensing that are there")


def _add_collect(commands: argparse._SubParsersAction) -> None:
    parser = _command(
        commands, "collect", "parameters and summaries of an ensemble in one file", COLLECT
    )
    parser.add_argument("directory", type=Path, metavar="DIRECTORY", help="of an ensemble")
    parser.add_argument(
        "--sources",
        metavar="Z|FILE",
        help="redshift of the sources, or text with columns z and n(z): statistics of the "
        "convergence too",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: DIRECTORY/summaries.hdf5"
    )
    _add_overwrite(parser, "a file of summaries that is there")
