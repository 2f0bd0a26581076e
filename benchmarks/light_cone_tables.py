"""Tables of the light cone's benchmark."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from benchmarks.rows import heading

BANDS = ((30, 100), (100, 200), (200, 400), (400, 700), (700, 1000))
"""Ranges of l."""
LINEAR_BANDS = ((30, 70), (70, 130), (130, 200))
"""Those of a linear field."""


SPECTRA = ("HMcode2020", "EuclidEmulator2")
"""Those of theory with one density a shell."""


def table(rows: list[dict]) -> str:
    """The tables of the documentation."""
    parts = defaultdict(list)
    for row in rows:
        parts[row["part"]].append(row)
    r = rows[0]
    lines = [
        f"{r['processor']}, {r['threads']} threads; {r['particles']}^3 particles in "
        f"{r['box_size']:g} Mpc/h, sources at the cone's end z = {r['z_max']:g}, n_side "
        f"{r['n_side']}, {r['force_evaluations']} forces"
        + (", modes of fixed amplitude" if r["fixed_amplitude"] else "")
    ]
    if parts["power"]:
        lines += [
            *_counts(parts["counts"]),
            *_power(parts["power"]),
            *(_limits(parts["limits"]) if parts["limits"] else []),
            *_theory(parts["theory"], parts["power"]),
            *_glass(parts["glass"]),
            *_shell(parts["shell"]),
            *_snapshots(parts["snapshots"]),
            *_seconds(parts["seconds"]),
        ]
    return "\n".join([*lines, *_linear(parts["linear"]), *_cost(parts["cost"])])


def _limits(rows: list[dict]) -> list[str]:
    titles = {
        "projection": "the map over the run's own P(k, z)",
        "shells": "one density a shell",
        "box": "no modes beyond the box",
        "spectrum": "the run's own P(k, z) less Poisson noise, over theory",
        "noise": "the run's own P(k, z) over theory",
        "window": "pixels, which are divided out",
    }
    lines = heading(["what adds to C_l [%]", *_names(BANDS)])
    return lines + [_line(title, rows, name) for name, title in titles.items()]


def _seconds(rows: list[dict]) -> list[str]:
    cone, all_of_it = (sum(row[name] for row in rows) for name in ("cone", "all"))
    return ["", f"The cone takes {100 * cone / all_of_it:.0f} % of the runs' time."]


def _cost(rows: list[dict]) -> list[str]:
    if not rows:
        return []
    none = rows[0]["all"]
    lines = heading(
        ["cone", "particles", "cone [s]", "run [s]", "more than without one [%]", "of the run [%]"]
    )
    for row in rows:
        more = row["all"] - none
        lines.append(
            f"| {row['cone_of']} | {row['painted']:.2e} | {row['cone']:.1f} | {row['all']:.1f} | "
            f"{100 * more / none:+.0f} | {100 * more / row['all']:.0f} |"
        )
    return lines


def _counts(rows: list[dict]) -> list[str]:
    lines = heading(["shell to z", "particles / expected - 1 [%]", "rms", "in an octant", "rms"])
    whole, octant = (
        100 * (np.array([row[name] for row in rows]) - 1) for name in ("whole", "octant")
    )
    for i, z in enumerate(rows[0]["z"]):
        cells = [f"{part[:, i].mean():+.2f} | {np.sqrt(np.mean(part[:, i] ** 2)):.2f}"
                 for part in (whole, octant)]  # fmt: skip
        lines.append(f"| {z:.3f} | {' | '.join(cells)} |")
    return lines


def _power(rows: list[dict]) -> list[str]:
    lines = heading([f"C_l / theory - 1 [%], mean of {len(rows)}", *_names(BANDS)])
    titles = {"with_noise": "as it is", "without_noise": "less Poisson noise"}
    kinds = {"": "", **{f"_of_shells_{name}": f", over shells of {name}" for name in SPECTRA}}
    return lines + [
        _line(title + kind, rows, name + suffix)
        for suffix, kind in kinds.items()
        for name, title in titles.items()
        if name + suffix in rows[0]
    ]


def _theory(rows: list[dict], measured: list[dict]) -> list[str]:
    if not rows:
        return ["", "pyccl is not installed."]
    lines = heading(["pyccl's spectrum", *_names(BANDS), *_names(BANDS)])
    mean = np.mean([row["with_noise"] for row in measured], axis=0)
    for row in rows:
        ratio = np.array(row["ratio"])
        cells = [f"{100 * a:+.2f}" for a in 1 / ratio - 1]
        cells += [f"{100 * a:+.1f}" for a in mean / ratio - 1]
        lines.append(f"| {row['spectrum']} | {' | '.join(cells)} |")
    return [*lines, "", "Left our Limber and HMcode2020 over it - 1 [%], right what is measured."]


def _glass(rows: list[dict]) -> list[str]:
    if not rows:
        return ["", "glass is not installed."]
    lines = heading(["convergence of the same shells", *_names(BANDS)])
    missing = np.mean([row["r_missing"] for row in rows], axis=0)
    return [
        *lines,
        _line("C_l over that by glass - 1 [%]", rows, "ratio"),
        f"| 1 - r | {' | '.join(f'{a:.1e}' for a in missing)} |",
    ]


def _shell(rows: list[dict]) -> list[str]:
    z = rows[0]["z"]
    lines = heading([f"C_l of the shell z = {z[0]:.3f}-{z[1]:.3f} - 1 [%]", *_names(BANDS)])
    titles = {"cut": "over the snapshot's shell", "projected": "over the snapshot's P(k)"}
    return lines + [_line(title, rows, name) for name, title in titles.items()]


def _linear(rows: list[dict]) -> list[str]:
    if not rows:
        return []
    titles = {
        "over_modes": "particles x modes over modes - 1",
        "kept_by_motion": "what motion along it should take off",
        "over_kept": "particles x modes over what should be left - 1",
        "modes_over_limber": "modes over Limber - 1",
    }
    lines = heading([f"C_l of a linear field [%], mean of {len(rows)}", *_names(LINEAR_BANDS)])
    return lines + [_line(title, rows, name) for name, title in titles.items() if name in rows[0]]


def _names(bands: tuple) -> list[str]:
    return [f"l = {low}-{high}" for low, high in bands]


def _line(title: str, rows: list[dict], name: str) -> str:
    """Means over realisations, less 1, with the scatter of the mean, in per cent."""
    values = 100 * (np.array([row[name] for row in rows]) - 1)
    error = values.std(axis=0, ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else 0 * values[0]
    cells = [f"{a:+.2f} ± {b:.2f}" for a, b in zip(values.mean(axis=0), error, strict=True)]
    return f"| {title} | {' | '.join(cells)} |"


def _snapshots(rows: list[dict]) -> list[str]:
    if not rows:
        return []
    lines = heading(["snapshots", "in another pixel [%]", *_names(BANDS)])
    for row in rows:
        cells = [
            f"{100 * (a - 1):+.2f}, {100 * b:.2f}"
            for a, b in zip(row["ratio"], row["r_missing"], strict=True)
        ]
        lines.append(f"| {row['snapshots']} | {100 * row['moved']:.1f} | {' | '.join(cells)} |")
    return [*lines, "", "Snapshots: C_l / the cone's - 1 [%], and 1 - r of kappa with it [%]."]
