"""Omega_m and sigma_8 from small universes: python examples/inference.py [directory [universes]].

Ensembles of 32^3 particles in 128 Mpc/h, of two simulators: steps fitted to N-body with four
forces, and twelve particle-mesh steps of BullFrog. Summaries are P(k) at z = 0 and, of a light cone
to z = 0.2 in an octant, C_l, PDF and peaks of the convergence. Posteriors by sbi (a normalising
flow, of the linear estimate of the parameters) and by lsbi (a linear model) are tested on universes
that were held out, and on N-body universes, which are the truth: what is wrong there is the
simulator's. An emulator of P(k) is a Gaussian process of the same ensemble. Saves inference.png,
inference_coverage.png and inference_emulator.png in the directory, and the ensembles beside them.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import corner
import h5py
import matplotlib
import numpy as np
import torch
import yaml
from lsbi.model import LinearModel
from sbi.inference import NPE
from sbi.utils import BoxUniform
from sbi.utils.tracking import TensorBoardTracker
from scipy.stats import kstest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_predict
from sklearn.multioutput import MultiOutputRegressor
from torch.utils.tensorboard import SummaryWriter

from coca.cosmology.latin_hypercube import latin_hypercube

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PRIOR = {"Omega_m": (0.2, 0.4), "sigma_8": (0.7, 0.95)}
LABELS = [r"$\Omega_m$", r"$\sigma_8$"]
LOW, HIGH = np.array(list(PRIOR.values())).T
CENTRE = {"Omega_m": 0.3, "sigma_8": 0.8}
UNIVERSE = {
    "cosmology": {"Omega_b": 0.049, "h": 0.6711, "n_s": 0.9624, **CENTRE},
    "linear_power": {"source": "eisenstein_hu"},
    "box_size": 128.0,
    "particles": 32,
    "mesh": 64,
    "seed": 0,
    "light_cone": {"z_max": 0.2, "n_side": 64, "shells": 4, "footprint": "octant"},
    "threads": 1,
}
SIMULATORS = {
    "fitted": {"method": "fitted", "force_evaluations": 4},
    "PM": {"method": "bullfrog", "force_evaluations": 12},
    "N-body": {"method": "nbody", "force_evaluations": "auto"},
}
MOST, MOST_N_BODY = 1000, 62
"""Universes; fewer are the first ones, so that an ensemble can grow."""
HELD_OUT = 5
"""One universe in so many is."""
SHELLS_OF_K = 15
"""All below the Nyquist wavenumber of the particles, 0.79 h/Mpc."""
K_BINS = [0, 1, 2, 3, 5, 7, 9, 12]
"""First shell of each wider bin of k."""
NU_BINS = [0, 2, 4, 6, 8]
"""First of `coca collect`'s ranges of each wider one: kappa / rms from -1, 0, 1 and 2 on."""
SAMPLES = 1000
"""Of each posterior."""
COLOURS = {"fitted": "#0072B2", "PM": "#D55E00"}


class Ensemble(NamedTuple):
    """What `coca collect` wrote of universes: parameters (M, 2), and summaries (M, S)."""

    theta: np.ndarray
    x: np.ndarray
    k: np.ndarray
    P: np.ndarray
    """(Mpc/h)^3, array (M, K)."""

    def part(self, chosen: np.ndarray) -> "Ensemble":
        """Some of the universes."""
        return self._replace(theta=self.theta[chosen], x=self.x[chosen], P=self.P[chosen])


def main(directory: Path, universes: int = 600) -> None:
    """Simulate, infer, test, emulate."""
    ensembles = simulate(directory, universes)
    held_out = np.arange(universes) % HELD_OUT == 0
    torch.manual_seed(1)
    torch.set_num_threads(1)  # a small network
    found = {}
    for simulator in ("fitted", "PM"):
        known = ensembles[simulator].part(~held_out)
        found[simulator, "sbi"] = Flow(known, directory / "sbi")
        found[simulator, "lsbi"] = Linear(known)
    observed = {
        "held out": ensembles["fitted"].part(held_out),
        "N-body": ensembles["N-body"],
    }
    draw_coverage(list(coverage(found, observed)), directory / "inference_coverage.png")
    draw_corner(found, ensembles["N-body"], directory / "inference.png")
    emulate(ensembles["fitted"].part(~held_out), ensembles["centre"], directory)


def simulate(directory: Path, universes: int) -> dict[str, Ensemble]:
    """Run all ensembles, side by side: both simulators of the same universes, N-body of others, and
    many universes of one cosmology."""
    rows = latin_hypercube(PRIOR, MOST, seed=1)[:universes]
    others = latin_hypercube(PRIOR, MOST_N_BODY, seed=2)[: universes // 10]
    tables = {
        "fitted": (rows, 0),
        "PM": (rows, 0),
        "N-body": (others, 100_000),
        "centre": ([CENTRE] * (universes // 10), 200_000),
    }
    running = [
        start(directory / name, rows, seed, SIMULATORS.get(name, SIMULATORS["fitted"]))
        for name, (rows, seed) in tables.items()
    ]
    if any(process.wait() for process in running):
        raise SystemExit("an ensemble failed")
    return {name: collect(directory / name) for name in tables}


def start(directory: Path, rows: list[dict], seed: int, method: dict) -> subprocess.Popen:
    """Begin an ensemble, the seeds of whose members count from one on."""
    directory.mkdir(parents=True, exist_ok=True)
    table = np.array([[*row.values(), seed + i] for i, row in enumerate(rows)])
    np.savetxt(directory / "table.txt", table, header=" ".join([*PRIOR, "seed"]), comments="")
    output = {"directory": str(directory), "report": False, "snapshots": False}
    config = {**UNIVERSE, **method, "output": output}
    config["ensemble"] = {"table": str(directory / "table.txt")}
    path = directory / "ensemble.yaml"
    path.write_text(yaml.safe_dump(config))
    return subprocess.Popen([sys.executable, "-m", "coca", "run", path, "--quiet", "--resume"])


def collect(directory: Path) -> Ensemble:
    """Parameters and summaries of an ensemble."""
    command = [sys.executable, "-m", "coca", "collect", directory, "--overwrite"]
    subprocess.run([*command, "--sources", str(UNIVERSE["light_cone"]["z_max"])], check=True)
    with h5py.File(directory / "summaries.hdf5") as file:
        k, P = file["k"][:SHELLS_OF_K], file["power"][:, -1, :SHELLS_OF_K]
        return Ensemble(file["parameters"][:], summaries(file, P), k, P)


def summaries(file: h5py.File, P: np.ndarray) -> np.ndarray:
    """Twenty numbers of each universe, in such units that their scatter is about the same
    everywhere: ln P(k) and ln C_l in wider bins, and shares of pixels and numbers of peaks in
    ranges of kappa over the map's rms."""
    modes = file["modes"][:SHELLS_OF_K]
    P = np.add.reduceat(P * modes, K_BINS, 1) / np.add.reduceat(modes, K_BINS)
    C_l = np.add.reduceat(file["C_l"][:], [0, 2, 4, 6], 1)
    pdf = np.add.reduceat(file["pdf"][:], NU_BINS, 1)[:, 1:]  # all of them are one
    peaks = np.add.reduceat(file["peaks"][:], NU_BINS, 1)[:, 1:]
    return np.hstack([np.log(P), np.log(C_l), pdf, np.sqrt(peaks)])


class Flow:
    """By sbi: a normalising flow of the parameters, given their linear estimate."""

    def __init__(self, known: Ensemble, logs: Path):
        self.estimate = LinearRegression().fit(known.x, known.theta)
        # of each universe by the others, as those that are observed are
        t = cross_val_predict(LinearRegression(), known.x, known.theta, cv=5)
        prior = BoxUniform(*(torch.tensor(bound, dtype=torch.float32) for bound in (LOW, HIGH)))
        tracker = TensorBoardTracker(SummaryWriter(str(logs)))
        self.npe = NPE(prior, show_progress_bars=False, tracker=tracker)
        tensors = (torch.tensor(values, dtype=torch.float32) for values in (known.theta, t))
        self.npe.append_simulations(*tensors).train(training_batch_size=50)
        self.posterior = self.npe.build_posterior()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Samples of the parameters (SAMPLES, 2) of a universe with summaries x."""
        t = torch.tensor(self.estimate.predict(x[None]), dtype=torch.float32)
        return self.posterior.sample((SAMPLES,), t, show_progress_bars=False).double().numpy()


class Linear:
    """By lsbi: summaries are linear in the parameters, with the same normal scatter everywhere."""

    def __init__(self, known: Ensemble):
        n, summaries = known.x.shape
        fit = LinearRegression().fit(known.theta, known.x)
        rest = known.x - fit.predict(known.theta)
        # the inverse of a covariance with scatter is too large (Hartlap et al. 2007)
        C = np.cov(rest.T) * (n - 1) / (n - summaries - 2)
        self.model = LinearModel(
            M=fit.coef_, m=fit.intercept_, C=C, mu=(LOW + HIGH) / 2,
            Sigma=np.diag((HIGH - LOW) ** 2 / 12),
        )  # fmt: skip

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Samples of the parameters (SAMPLES, 2) of a universe with summaries x."""
        return self.model.posterior(x).rvs(SAMPLES)


class Coverage(NamedTuple):
    """How posteriors of many universes lie about their true parameters."""

    name: str
    simulator: str
    pull: np.ndarray
    """(mean - truth) / width, array (universes, 2)."""
    ranks: np.ndarray
    """Of the truth among samples, uniform in 0 to 1 if all is right, array (universes, 2)."""
    tarp: np.ndarray
    """Share of the samples that are nearer to a random point than the truth, also uniform (TARP,
    Lemos et al. 2023, arXiv:2302.03026), array (universes,)."""


def coverage(found: dict, observed: dict[str, Ensemble]) -> Iterator[Coverage]:
    """All posteriors on all sets of universes; and one twice too narrow, which must be seen."""
    print(
        "\n| simulator, posterior, universe | pull of Omega_m, sigma_8 | p of ranks | p of TARP |"
    )
    print("| --- | --- | --- | --- |")
    for (simulator, method), posterior in found.items():
        for universe, ensemble in observed.items():
            if universe == "held out" and simulator == "PM":
                continue
            samples = np.array([posterior(x) for x in ensemble.x])
            yield tested(f"{simulator}, {method}, {universe}", simulator, samples, ensemble.theta)
            if (simulator, method, universe) == ("fitted", "sbi", "held out"):
                middle = samples.mean(axis=1, keepdims=True)
                narrow = middle + 0.5 * (samples - middle)
                yield tested(f"twice too narrow, {universe}", "control", narrow, ensemble.theta)


def tested(name: str, simulator: str, samples: np.ndarray, theta: np.ndarray) -> Coverage:
    """Coverage of samples (universes, SAMPLES, 2), printed as a row of a table."""
    pull = (samples.mean(axis=1) - theta) / samples.std(axis=1)
    ranks = np.mean(samples < theta[:, None], axis=1)
    points = LOW + (HIGH - LOW) * np.random.default_rng(3).random(theta.shape)

    def distance(to: np.ndarray) -> np.ndarray:
        return np.sum(((to - points[:, None]) / (HIGH - LOW)) ** 2, axis=-1)

    tarp = np.mean(distance(samples) < distance(theta[:, None]), axis=1)
    error = pull.std(axis=0) / np.sqrt(len(pull))
    pulls = ", ".join(f"{a:+.2f} ± {b:.2f}" for a, b in zip(pull.mean(axis=0), error, strict=True))
    p = ", ".join(f"{kstest(r, 'uniform').pvalue:.2g}" for r in ranks.T)
    print(f"| {name} | {pulls} | {p} | {kstest(tarp, 'uniform').pvalue:.2g} |")
    return Coverage(name, simulator, pull, ranks, tarp)


def emulate(known: Ensemble, centre: Ensemble, directory: Path) -> None:
    """P(k) of any parameters from one ensemble, beside the mean of universes of one cosmology."""
    kernel = ConstantKernel() * RBF([1.0, 1.0]) + WhiteKernel()
    gaussian_process = GaussianProcessRegressor(kernel, normalize_y=True)
    emulator = MultiOutputRegressor(gaussian_process).fit(scaled(known.theta), np.log(known.P))

    lnP = emulator.predict(scaled(np.array([list(CENTRE.values())])))[0]
    wanted = np.log(centre.P).mean(axis=0)
    scatter = np.log(centre.P).std(axis=0)
    off, error = np.exp(lnP - wanted) - 1, scatter / np.sqrt(len(centre.P))
    fine = centre.k > 0.3
    rms = [100 * np.sqrt(np.mean(values[fine] ** 2)) for values in (off, error)]
    print(f"\nemulated P(k) beside the mean of {len(centre.P)} universes, k > 0.3 h/Mpc: "
          f"{rms[0]:.2f} % rms, where the mean has a scatter of {rms[1]:.2f} %")  # fmt: skip
    draw_emulator(centre, np.exp(lnP), off, error, directory / "inference_emulator.png")


def scaled(theta: np.ndarray) -> np.ndarray:
    """Parameters from -1 to 1."""
    return 2.0 * (theta - LOW) / (HIGH - LOW) - 1.0


def draw_corner(found: dict, observed: Ensemble, path: Path) -> None:
    """Posteriors of the N-body universe that is nearest to the middle."""
    nearest = np.argmin(np.sum(scaled(observed.theta) ** 2, axis=1))
    shown = {
        "fitted steps, sbi": (("fitted", "sbi"), "#0072B2"),
        "fitted steps, lsbi": (("fitted", "lsbi"), "#009E73"),
        "PM, sbi": (("PM", "sbi"), "#D55E00"),
    }
    figure = plt.figure(figsize=(5.6, 5.6))
    for label, (key, colour) in shown.items():
        samples = found[key](observed.x[nearest])
        corner.corner(
            samples, fig=figure, color=colour, labels=LABELS, truths=observed.theta[nearest],
            truth_color="black", range=limits(found, observed.x[nearest]), bins=40, smooth=1.2,
            smooth1d=1.0, levels=(0.393, 0.865), plot_datapoints=False, plot_density=False,
            fill_contours=False,
        )  # fmt: skip
        figure.axes[1].plot([], [], color=colour, label=label)
    for axes in figure.axes[::3]:  # of the single parameters
        axes.set_ylim(0, 1.1 * max(np.max(line.get_ydata()) for line in axes.lines))
    figure.axes[1].plot([], [], color="black", label="truth: N-body")
    figure.axes[1].legend(frameon=False, loc="center", fontsize=10)
    figure.savefig(path, dpi=130)


def limits(found: dict, x: np.ndarray) -> list[tuple[float, float]]:
    """What all posteriors of a universe take, but for a few samples."""
    samples = np.concatenate([posterior(x) for posterior in found.values()])
    return [tuple(np.quantile(column, [0.001, 0.999])) for column in samples.T]


def draw_coverage(rows: list[Coverage], path: Path) -> None:
    """How many truths lie below a share of the posterior, less the share; a right posterior stays
    in the grey, which 95 % of curves do at any point."""
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.6), layout="constrained", sharey=True)
    share = np.linspace(0, 1, 201)
    least = min(len(row.tarp) for row in rows)
    band = 1.96 * np.sqrt(share * (1 - share) / least)
    titles = [f"ranks of {label}" for label in LABELS] + ["TARP"]
    for i, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        ax.fill_between(share, -band, band, color="#DDDDDD", lw=0)
        for row in rows:
            values = row.tarp if i == 2 else row.ranks[:, i]
            below = np.mean(values[:, None] <= share, axis=0)
            ax.plot(
                share, below - share, label=row.name, lw=1.5,
                color=COLOURS.get(row.simulator, "#888888"),
                ls="--" if "lsbi" in row.name else "-", alpha=0.45 if "held" in row.name else 1.0,
            )  # fmt: skip
        ax.set(title=title, xlabel="share of the posterior")
    axes[0].set_ylabel("truths below - share")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3,
                  frameon=False, fontsize=8)  # fmt: skip
    figure.savefig(path, dpi=130)


def draw_emulator(
    centre: Ensemble, P: np.ndarray, off: np.ndarray, error: np.ndarray, path: Path
) -> None:
    """The emulated spectrum beside universes, and what it is off."""
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(5.6, 4.8), layout="constrained", sharex=True, height_ratios=(2, 1)
    )
    top.loglog(centre.k, centre.P.T, color="#BBBBBB", lw=0.6)
    top.loglog(centre.k, P, color="#0072B2", label="emulated")
    top.plot([], [], color="#BBBBBB", label=f"{len(centre.P)} universes")
    top.set(ylabel="P(k) [(Mpc/h)$^3$]", title=r"$\Omega_m = 0.3$, $\sigma_8 = 0.8$, z = 0")
    top.legend(frameon=False)
    bottom.fill_between(centre.k, -100 * error, 100 * error, color="#DDDDDD", lw=0)
    bottom.plot(centre.k, 100 * off, color="#0072B2")
    bottom.set(xlabel="k [h/Mpc]", ylabel="emulated / mean\nof universes - 1 [%]")
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."), *map(int, sys.argv[2:3]))
