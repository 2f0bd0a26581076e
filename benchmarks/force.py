"""Our force beside its Fourier transforms and beside other codes, in turns on the same particles.

Particles 2 Mpc/h apart at z = 0. "four transforms" are two forward and two backward transforms
of the mesh by FFTW's three-dimensional plans, measured, which is what a force with a spectral
gradient takes at least; "four of ours" the same by `coca.parallel.fft`. Forces of other codes are
checked to agree with ours before anything is timed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyfftw

from benchmarks.peers import PEERS, agreement
from benchmarks.problem import SPACING, evolved_positions
from benchmarks.timing import in_turns, machine_record, ratio, show, timing
from coca.gravity.particle_mesh import ParticleMesh
from coca.parallel.domain import Domain
from coca.parallel.machine import choose_threads

OURS = {
    "coca": {},
    "coca, TSC": {"assignment": "tsc"},
    "coca, spectral": {"gradient": "spectral"},
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--particles", type=int, default=128, help="per dimension")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pmwd", type=Path, help="path of a checkout of pmwd")


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each force, with seconds and ratios in the same rounds."""
    domain = Domain(
        SPACING * options.particles, options.particles, choose_threads(options.threads or "auto")
    )
    forces = {name: ParticleMesh(domain, 2 * domain.n_side, **o) for name, o in OURS.items()}
    coarse = ParticleMesh(domain, domain.n_side)
    x, out = evolved_positions(domain, forces["coca"]), domain.empty_particles()
    calls = {name: lambda f=force: f(x, False, out) for name, force in forces.items()}
    calls["coca, with density"] = lambda: forces["coca"](x, True, out)
    calls["coca, mesh 1x"] = lambda: coarse(x, False, out)
    calls["four transforms"] = fftw_transforms(domain, 2 * domain.n_side)
    calls["four of ours"] = our_transforms(domain, 2 * domain.n_side)
    checks = {}
    for peer in PEERS:
        try:
            call = peer.make(domain, x, peer.factor * domain.n_side, options.pmwd)
        except ImportError as error:
            checks[peer.name] = {"skipped": str(error)}
            continue
        ours = ParticleMesh(domain, peer.factor * domain.n_side, gradient=peer.gradient)(x).g
        checks[peer.name] = agreement(call(), ours)
        if checks[peer.name]["relative_rms"] > 1e-3:
            raise RuntimeError(f"{peer.name} does not agree with our force: {checks[peer.name]}")
        calls[peer.name] = call
    seconds = in_turns(calls, options.rounds)
    common = {"particles": domain.n_side} | machine_record(domain.threads)
    rows = [row_of(name, seconds, checks) | common for name in seconds]
    skipped = [{"name": n, **c} | common for n, c in checks.items() if "skipped" in c]
    return rows + skipped


def row_of(name: str, seconds: dict[str, np.ndarray], checks: dict[str, dict]) -> dict:
    """Seconds of one call, and against the transforms and our force on the same mesh."""
    ours = "coca, mesh 1x" if name == "JaxPM" else "coca"
    return {
        "name": name,
        "seconds": timing(seconds[name]),
        "over_fftw": ratio(seconds[name], seconds["four transforms"]),
        "over_our_transforms": ratio(seconds[name], seconds["four of ours"]),
        "over_coca": ratio(seconds[name], seconds[ours]),
        **checks.get(name, {}),
    }


def fftw_transforms(domain: Domain, mesh: int):
    """Two transforms there and two back by FFTW's own plans."""
    field = pyfftw.zeros_aligned((mesh,) * 3, "float32")
    modes = pyfftw.zeros_aligned((mesh, mesh, mesh // 2 + 1), "complex64")
    options = {"axes": (0, 1, 2), "flags": ("FFTW_MEASURE",), "threads": domain.threads}
    forward = pyfftw.FFTW(field, modes, **options)
    backward = pyfftw.FFTW(modes, field, direction="FFTW_BACKWARD", **options)

    def call():
        for _ in range(2):
            forward.execute()
            backward.execute()

    return call


def our_transforms(domain: Domain, mesh: int):
    """Two transforms there and two back by `coca.parallel.fft`."""
    fft = domain.transform(mesh)
    field, modes = fft.empty(), fft.empty_k()
    field[:] = 0

    def call():
        for _ in range(2):
            fft.forward(field, modes)
            fft.backward(modes, field)

    return call


def table(rows: list[dict]) -> str:
    """Medians with quartiles."""
    timed = [row for row in rows if "seconds" in row]
    lines = [
        f"{rows[0]['particles']}^3 particles, {rows[0]['processor']}, {rows[0]['threads']} threads;"
        " median (quartiles)",
        "| | seconds | over four transforms (FFTW) | over four of ours | over coca"
        " | 1 - correlation | relative rms |",
        "|" + " --- |" * 7,
    ]
    for row in timed:
        ratios = [show(row[key]) for key in ("over_fftw", "over_our_transforms", "over_coca")]
        agreed = ["", ""]
        if "correlation" in row:
            agreed = [f"{1 - row['correlation']:.0e}", f"{row['relative_rms']:.1e}"]
        cells = [row["name"], show(row["seconds"], digits=3), *ratios, *agreed]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [f"{row['name']}: skipped, {row['skipped']}" for row in rows if "skipped" in row]
    return "\n".join(lines)
