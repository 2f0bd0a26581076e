"""What a force would take on 64 to 16384 ranks, in slabs as they are and in pencils that might be.

Bytes are those that `coca.parallel.ranks` counts (`benchmarks.scaling` compares them), the machine
is the CPU partition of Perlmutter: nodes of two 64-core EPYC 7763 with 512 GB and 204.8 GB/s of
memory a socket, and one Slingshot 11 port of 200 Gb/s
(docs.nersc.gov/systems/perlmutter/architecture). A rank has 8 cores, those of one level-3 cache.
Compute is the larger of what docs/scaling.json says of one core here and of what memory allows.
All-to-all traffic gets `SUSTAINED` of the port, shared by the ranks of a node, and each message
takes `LATENCY`: assumptions, on the careful side of what De Sensi et al. 2020 (arXiv:2008.08886)
measured.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.rows import read_rows
from coca.configuration.loading import load_config
from coca.configuration.run import Config
from coca.errors import CocaError
from coca.parallel.domain import check_ranks
from coca.run.memory import estimate_memory

ROOT = Path(__file__).parent.parent
CORES_PER_NODE, CORES_PER_RANK = 128, 8
NODE_MEMORY, MEMORY_RATE, PORT = 512e9, 2 * 204.8e9, 25e9
"""Bytes, bytes a second and bytes a second of a node."""
SUSTAINED, LATENCY = 0.5, 2e-6
MEMORY_TRAFFIC = 450
"""Bytes that a force moves between memory and cores for each particle: nine passes over a mesh of
8 cells a particle, and the particles' positions and accelerations."""
DISPLACEMENT = 4.6
"""Mean displacement along one axis at D = 1 in Mpc/h; half of it on average over a run."""
SPACING = 2.0
LPT_TRANSFORMS, FEATURE_TRANSFORMS = 13, 10
NETWORK_PLANES = 90
"""Planes of n^2 numbers that each rank sends to either neighbour in a pass of the shipped network:
two convolutions a block, of 48 channels at n/2, 96 at n/4 and at n/8."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--particles", type=int, nargs="+", default=[2048, 4096, 8192])
    parser.add_argument("--ranks", type=int, nargs="+", default=[64, 256, 1024, 4096, 16384])
    parser.add_argument("--measured", type=Path, default=ROOT / "docs" / "scaling.json")


def transpose(m: int, ranks: int) -> float:
    """Bytes that a rank sends in one transform of a mesh of m^3 cells."""
    return 8.0 * m * (m // 2 + 1) * (m / ranks) * (ranks - 1) / ranks


def sent_bytes(n: int, ranks: int, forces: int, method: str, bytes_per_number: int = 2) -> dict:
    """Bytes that each rank sends in a whole run, by what they are for.

    Parameters
    ----------
    n : int
        Particles per dimension; the mesh has twice as many cells.
    ranks, forces : int
    method : str
        Of `benchmarks.runs`.
    bytes_per_number : int
        Of the network's activations.
    """
    if ranks == 1:
        return dict.fromkeys(
            ("transposes", "ghost planes", "positions", "accelerations", "network"), 0
        )
    m, emulated = 2 * n, method == "coca"
    paints = forces + (1 if method == "bullfrog" else 2)
    lattice = LPT_TRANSFORMS + (FEATURE_TRANSFORMS if emulated else 0)
    plane, N = 4.0 * m * (m + 2), n**3 / ranks
    gone = outside(n, ranks, 0.5) * forces
    return {
        "transposes": lattice * transpose(n, ranks) + (forces + paints) * transpose(m, ranks),
        "ghost planes": plane * (5 * forces + paints),
        "positions": 12 * N * (gone + outside(n, ranks, 1.0) * (paints - forces)),
        "accelerations": (12 if method == "bullfrog" else 16) * N * gone,
        "network": 2 * NETWORK_PLANES * bytes_per_number * n**2 if emulated else 0,
    }


def outside(n: int, ranks: float, D: float) -> float:
    """Share of the particles that are in other slabs than they started in."""
    return min(1.0, D * DISPLACEMENT * ranks / (SPACING * n))


def force_seconds(
    n: int, ranks: int, core_seconds: float, pencils: bool = False
) -> dict[str, float]:
    """Wall seconds of a force with density, by part.

    Pencils divide x and y among sqrt(ranks) each: two transposes within rows of ranks in the place
    of one among all, ghosts on four sides, and particles that leave through them.

    Parameters
    ----------
    n, ranks : int
    core_seconds : float
        Of a particle's part in a force, on one core.
    pencils : bool
    """
    m, N = 2 * n, n**3 / ranks
    side = math.sqrt(ranks) if pencils else ranks
    axes = 2 if pencils else 1
    here = min(ranks, CORES_PER_NODE // CORES_PER_RANK)
    rate = SUSTAINED * PORT / here
    among = axes * 2 * transpose(m, ranks) * (side - 1) / side * ranks / (ranks - 1)
    ghosts = axes * 6 * 4.0 * m * (m + 2) * (side / ranks)
    travel = min(1.0, axes * outside(n, side, 0.5)) * 28 * N
    memory = MEMORY_TRAFFIC / (MEMORY_RATE * CORES_PER_RANK / CORES_PER_NODE)
    return {
        "compute": N * max(core_seconds / CORES_PER_RANK, memory),
        "transposes": among / rate + axes * 2 * (side - 1) * LATENCY,
        "ghost planes": ghosts / rate,
        "particles": travel / rate + side * axes * 2 * LATENCY,
    }


def memory_of_a_rank(n: int, ranks: int, method: str) -> float:
    """Estimated peak memory in bytes, see `coca.run.memory`."""
    options = {name: [f"method={name}"] for name in ("bullfrog", "fitted")}
    sizes = [f"particles={n}", f"mesh={2 * n}", f"box_size={SPACING * n}", "reference=null"]
    quickstart = ROOT / "configs" / "quickstart.yaml"
    config = load_config(quickstart, [*options[method], *sizes], Config)
    fitted = method == "fitted"
    return estimate_memory(
        config, None, fitted_steps=fitted, sub_steps=fitted, read_out=fitted, ranks=ranks
    )


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each size and number of ranks."""
    core_seconds = measured_core_seconds(read_rows(options.measured))
    return [row_of(n, ranks, core_seconds) for n in options.particles for ranks in options.ranks]


def measured_core_seconds(rows: list[dict]) -> float:
    """Seconds of a particle's part in a force on one core, of the runs of one rank and thread."""
    row = next(
        r for r in rows
        if r["kind"] == "strong" and r["method"] == "bullfrog" and r["ranks"] * r["threads"] == 1
    )  # fmt: skip
    return row["stages"]["force"] / row["force_evaluations"] / row["particles"] ** 3


def row_of(n: int, ranks: int, core_seconds: float) -> dict:
    """Times of both layouts; None for slabs thinner than a plane of the lattice."""
    try:
        check_ranks(n, ranks, "particles")
        slabs = force_seconds(n, ranks, core_seconds)
    except CocaError:
        slabs = None
    room = NODE_MEMORY / (CORES_PER_NODE // CORES_PER_RANK)
    memory = {m: memory_of_a_rank(n, ranks, m) for m in ("bullfrog", "fitted")}
    return {
        "particles": n,
        "ranks": ranks,
        "nodes": max(1, ranks * CORES_PER_RANK // CORES_PER_NODE),
        "slabs": slabs,
        "pencils": force_seconds(n, ranks, core_seconds, pencils=True),
        "memory": memory,
        "fits": {method: value < room for method, value in memory.items()},
        "sent": sum(sent_bytes(n, ranks, 1, "fitted").values()),
        "core_seconds": core_seconds,
    }


def table(rows: list[dict]) -> str:
    """Seconds of a force by part, and memory."""
    parts = ("compute", "transposes", "ghost planes", "particles")
    lines = [
        f"{1e9 * rows[0]['core_seconds']:.0f} ns a particle on one core; a force in slabs by part, "
        "the share of it that is compute, and the same in pencils; GiB of a rank (of 29.8)",
        "",
        f"| particles | ranks | nodes | {' | '.join(parts)} | seconds | compute | pencils "
        "| BullFrog | fitted steps |",
        "|" + " --- |" * (9 + len(parts)),
    ]
    for row in rows:
        slabs, pencils = row["slabs"], sum(row["pencils"].values())
        if slabs is None:
            cells = ["-"] * len(parts) + ["more ranks than planes", "-"]
        else:
            total = sum(slabs.values())
            cells = [f"{slabs[part]:.3f}" for part in parts]
            cells += [f"{total:.3f}", f"{slabs['compute'] / total:.0%}"]
        memory = [
            f"{row['memory'][m] / 2**30:.1f}{'' if row['fits'][m] else ' (too much)'}"
            for m in ("bullfrog", "fitted")
        ]
        lines.append(
            f"| {row['particles']}^3 | {row['ranks']} | {row['nodes']} | {' | '.join(cells)} | "
            f"{pencils:.3f} | {' | '.join(memory)} |"
        )
    return "\n".join(lines)


def draw(rows: list[dict], path) -> None:
    """Seconds of a force against ranks."""
    figure = Figure(figsize=(5.5, 4.0), layout="constrained")
    panel = figure.subplots()
    colours = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
    for colour, marker, n in zip(
        colours, "osD^", sorted({r["particles"] for r in rows}), strict=False
    ):
        mine = [row for row in rows if row["particles"] == n]
        for layout, style in (("slabs", "-"), ("pencils", "--")):
            line = [(row["ranks"], sum(row[layout].values())) for row in mine if row[layout]]
            panel.loglog(
                *zip(*line, strict=True), marker + style, color=colour, label=f"{n}³, {layout}"
            )
    panel.set_xticks(sorted({row["ranks"] for row in rows}))
    panel.get_xaxis().set_major_formatter("{x:.0f}")
    panel.minorticks_off()
    panel.set(xlabel="ranks of 8 cores", ylabel="seconds of a force, modelled")
    panel.legend(frameon=False)
    figure.savefig(path, dpi=130, format="png")
