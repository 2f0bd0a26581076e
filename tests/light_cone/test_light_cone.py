"""Light cones of particles whose crossings can be counted otherwise."""

from typing import NamedTuple

import h5py
import numpy as np
import pytest

from coca.configuration.sections import LightConeConfig
from coca.cosmology.background import redshift, scale_factor
from coca.cosmology.distance import scale_factor_at
from coca.errors import FileError
from coca.frames import SeparableFrame, Term, lpt_frame, rest_frame
from coca.light_cone.cone_particles import particle_files
from coca.light_cone.footprint import Footprint
from coca.light_cone.geometry import build_cone
from coca.light_cone.light_cone import LightCone
from coca.light_cone.replicas import replicas_between
from coca.light_cone.shells import read_shell, shell_path
from coca.parallel.domain import Domain
from coca.particles import Snapshot
from tests.problem import D_START, uniform_boundaries

OBSERVER = (3.0, 60.1, 33.3)


def cone_of(domain, cosmology, path, **options):
    values = {"z_max": 0.03, "n_side": 8, "shells": 4, "observer": OBSERVER} | options
    options = LightConeConfig(**values)
    cone = build_cone(options, cosmology, domain.box_size)
    return LightCone(cone, domain, path, options.momentum, particles=options.particles)


def follow(light_cone, frame):
    """Let the cone see particles that follow a frame."""
    for D in light_cone.times:
        light_cone.see(Snapshot(D, frame.displacement(D), frame.velocity(D)))
    return shells_of(light_cone)


def shells_of(light_cone):
    paths = [shell_path(light_cone.directory, i) for i in range(light_cone.cone.shells)]
    return [read_shell(path) for path in paths]


def sites_within(domain, observer, chi):
    """Lattice sites of all copies of the box in shells."""
    most = int(chi[-1] / domain.box_size) + 2
    q = domain.cell * np.arange(-most * domain.n_side, (most + 1) * domain.n_side)
    squares = [(q - x) ** 2 for x in observer]
    r = np.sqrt(squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :])
    return np.histogram(r, chi)[0]


def test_a_lattice_at_rest_is_counted_site_by_site(cosmology, tmp_path):
    """Copies of the box, an observer away from its centre, edges within the box and beyond."""
    domain = Domain(64.0, 16)
    light_cone = cone_of(domain, cosmology, tmp_path, z_max=0.06)
    shells = follow(light_cone, rest_frame(domain.particles))
    found = [int(shell.counts.sum()) for shell in shells]
    chi = light_cone.cone.chi
    assert chi[-1] > 2.5 * domain.box_size
    assert found == sites_within(domain, OBSERVER, chi).tolist()
    for shell in shells[1:]:
        assert shell.counts.sum() == pytest.approx(shell.mean * len(shell.counts), rel=0.01)


def test_shells_say_what_they_are(cosmology, tmp_path):
    domain = Domain(64.0, 16)
    light_cone = cone_of(domain, cosmology, tmp_path, momentum=True)
    shells = follow(light_cone, rest_frame(domain.particles))
    assert [shell.number for shell in shells] == [0, 1, 2, 3] and shells[0].chi[0] == 0.0
    assert shells[-1].z[1] == 0.03 and shells[1].z[0] == shells[0].z[1]
    assert shells[0].cosmology == cosmology and not np.any(shells[0].momentum)
    mass = shells[0].particle_mass * domain.particles / domain.box_size**3
    assert mass == pytest.approx(cosmology.Omega_m * 2.77536627e11, rel=1e-12)


@pytest.fixture(scope="module")
def moving(cosmology, conditions, domain):
    return lpt_frame(cosmology, conditions.psi1, conditions.psi2)


def test_how_often_particles_are_asked_for_does_not_matter(moving, domain, cosmology, tmp_path):
    """Trajectories between are their own: with four times as many intervals hardly a particle
    changes its pixel, and none is lost."""
    few = cone_of(domain, cosmology, tmp_path / "few")
    many = cone_of(domain, cosmology, tmp_path / "many")
    many.times = sorted(
        {*many.times, *(D for a, b in zip(many.times, many.times[1:], strict=False)
                        for D in np.linspace(a, b, 5)[1:-1].tolist())}
    )  # fmt: skip
    few_shells, many_shells = follow(few, moving), follow(many, moving)
    totals = [sum(int(s.counts.sum()) for s in shells) for shells in (few_shells, many_shells)]
    assert totals[0] == totals[1]
    for a, b in zip(few_shells, many_shells, strict=True):
        assert np.abs(a.counts - b.counts).sum() < 2e-3 * a.counts.sum()


def test_shells_are_better_than_those_of_snapshots(moving, domain, cosmology, tmp_path):
    """Particles frozen at the middle of a shell, as others have them from snapshots, are in other
    pixels, and more of them the thicker the shell is."""
    light_cone = cone_of(domain, cosmology, tmp_path)
    shells, D = follow(light_cone, moving), light_cone.cone.edges()[::-1]
    off = []
    for shells_each in (4, 1):
        different = 0
        for low in range(0, 4, shells_each):
            at_rest = moving.displacement(0.5 * (D[low] + D[low + shells_each]))
            frozen = cone_of(domain, cosmology, tmp_path / "frozen")
            seen = follow(
                frozen, SeparableFrame(domain.particles, Term(lambda D: (1.0, 0.0, 0.0), at_rest))
            )
            for i in range(low, low + shells_each):
                different += np.abs(seen[i].counts - shells[i].counts).sum()
        off.append(different)
    assert off[0] > 1.5 * off[1] > 0


def test_radial_momentum_is_that_of_the_particles(moving, domain, cosmology, tmp_path):
    """With one pixel a face, sums of radial velocities of all that crossed; by the continuity of
    the frame their mean is that of the particles in the shell."""
    light_cone = cone_of(domain, cosmology, tmp_path, momentum=True, shells=1, z_max=0.02)
    shell = follow(light_cone, moving)[0]
    D = float(cosmology.D1(scale_factor(0.01)))
    x = domain.add_lattice(moving.displacement(D)).astype(float)
    v = moving.velocity(D) * cosmology.velocity_unit(D)
    total = count = 0.0
    for copy in np.ndindex(5, 5, 5):
        r = x + domain.box_size * (np.array(copy) - 2.0)[:, None] - np.array(OBSERVER)[:, None]
        distance = np.linalg.norm(r, axis=0)
        inside = distance < shell.chi[1]
        total += np.sum(np.sum(r * v, axis=0)[inside] / distance[inside])
        count += inside.sum()
    scale = np.sqrt(np.mean(v.astype(float) ** 2)) * count
    assert shell.counts.sum() == pytest.approx(count, rel=2e-3)
    assert np.sum(shell.momentum) == pytest.approx(total, abs=5e-3 * scale)


@pytest.mark.parametrize("edges", [(0.02, 0.021, 0.022, 0.024), (0.0, 0.002, 0.01)])
def test_redshift_space_is_that_of_the_particles(edges, moving, domain, cosmology, tmp_path):
    """Particles of a cone that is as long as the one in redshift space is passed, each moved to
    chi + v_r / (aH): the same maps, but for those that round-off puts into the next pixel. Shells
    thinner than what particles are moved by, a near end here and elsewhere."""
    healpy = pytest.importorskip("healpy")
    shared = {"redshifts": edges, "z_max": edges[-1], "momentum": True, "particles": True}
    light_cone = cone_of(domain, cosmology, tmp_path / "s", redshift_space=True, **shared)
    assert max(map(len, light_cone.cone.filling())) == len(edges) - 1 and light_cone.has_velocities
    frame = Flowing(moving, np.float32(0.0 if edges[0] else 12.0))
    shells = follow(light_cone, frame)
    near, far = light_cone.cone.z_passed
    z = (*((near,) if near < edges[0] else ()), *edges, far)
    wide = cone_of(domain, cosmology, tmp_path / "r", **shared | {"redshifts": z, "z_max": far})
    real = follow(wide, frame)[len(z) - len(edges) - 1 : -1]
    x, u, a = read_particles(wide)
    r = np.linalg.norm(x, axis=1)
    speed = np.sum(x * u, axis=1) / r
    s = r + speed / (100.0 * a * cosmology.E(a))
    assert np.abs(s - r).max() < 50.0 and np.sqrt(np.mean((s - r) ** 2)) > 1.0
    assert np.any(s < 0.0) == (edges[0] == 0.0)  # beyond the observer: in no shell
    for shell, at_rest in zip(shells, real, strict=True):
        inside = (s >= shell.chi[0]) & (s < shell.chi[1])
        pixel = healpy.vec2pix(8, *x[inside].T)
        counts = np.bincount(pixel, minlength=768)
        total = counts.sum()
        assert np.abs(counts - shell.counts).sum() <= 2 + 2e-4 * total
        assert np.abs(at_rest.counts - shell.counts).sum() > 0.02 * total > 2
        momentum = np.bincount(pixel, speed[inside], 768)
        off = np.abs(momentum - shell.momentum)
        assert off.sum() <= 2e-3 * np.abs(speed[inside]).sum()
        kept, _, _ = read_particles(light_cone, [shell.number])
        assert len(kept) == shell.counts.sum() and shell.redshift_space


@pytest.mark.parametrize("redshift_space", [False, True])
def test_maps_alone_are_those_of_the_particles(redshift_space, moving, domain, cosmology, tmp_path):
    """Where only maps are wanted no Newton's steps are taken: particles are 1e-4 Mpc/h off."""
    options = {"momentum": True, "redshift_space": redshift_space, "z_max": 0.02, "shells": 2}
    alone, placed = (
        follow(cone_of(domain, cosmology, tmp_path / str(kept), particles=kept, **options), moving)
        for kept in (False, True)
    )
    for a, b in zip(alone, placed, strict=True):
        assert np.abs(a.counts - b.counts).sum() <= 2 + 2e-4 * b.counts.sum()
        assert np.abs(a.momentum - b.momentum).sum() <= 1e-3 * np.abs(b.momentum).sum()


@pytest.mark.parametrize("radius", [25.0, 140.0])
def test_a_cone_is_the_sky_within_it(radius, moving, domain, cosmology, tmp_path):
    """Pixels wholly inside have what the whole sky has, those wholly outside nothing; files say
    which footprint it was."""
    footprint = {"axis": [200.0, 35.0], "radius": radius}
    whole = follow(cone_of(domain, cosmology, tmp_path / "w"), moving)
    cut = cone_of(domain, cosmology, tmp_path / "c", footprint=footprint, particles=True)
    inside = cut.cone.footprint.pixels(8)
    opposite = Footprint("cone", 20.0, -35.0, 180.0 - radius).pixels(8)
    for a, b in zip(whole, follow(cut, moving), strict=True):
        assert b.footprint == Footprint("cone", 200.0, 35.0, radius)
        assert np.abs(a.counts - b.counts)[inside].sum() <= 1e-3 * b.counts.sum() + 1
        assert not b.counts[opposite].any() and np.all(b.counts <= a.counts + 1)
    x = read_particles(cut)[0]
    away = np.degrees(np.arccos(x @ cut.cone.footprint.axis / np.linalg.norm(x, axis=1)))
    assert radius - 1.0 < away.max() < radius + 1e-2


def test_every_rotated_replica_holds_all_particles_once(conditions, domain, cosmology, tmp_path):
    """Particles at rest where structure has formed, to a cone that has many copies in it: those
    that lie in a copy's cube are all of the box, each where the copy's turn and shift put it."""
    disp = lpt_frame(cosmology, conditions.psi1, conditions.psi2).displacement(1.0)
    frame = SeparableFrame(domain.particles, Term(lambda D: (1.0, 0.0, 0.0), disp))
    L, z = domain.box_size, redshift(scale_factor_at(cosmology, 1.75 * domain.box_size))
    observer = (0.5 * L, 0.4 * L, 0.55 * L)
    light_cone = cone_of(
        domain, cosmology, tmp_path, observer=observer, z_max=float(z), shells=2, n_side=8,
        particles=True, replicas="rotated", replica_seed=3,
    )  # fmt: skip
    shells = follow(light_cone, frame)
    assert [shell.replica_seed for shell in shells] == [3, 3]
    x, _, _, ids = read_particles(light_cone, with_ids=True)
    own = domain.add_lattice(disp).T.astype(float)
    whole = 0
    for replica in replicas_between(3, np.array(observer), L, 0.0, 1.75 * L):
        corners = L * (replica.copy + np.array(list(np.ndindex(2, 2, 2)))) - observer
        if np.linalg.norm(corners, axis=1).max() > 1.74 * L:
            continue
        wanted = np.mod(own - replica.origin, L) + replica.origin
        wanted = replica.to_sky(wanted - replica.observer(np.array(observer), L))
        inner = np.all((x - corners.min(0) > 1e-3) & (corners.max(0) - x > 1e-3), axis=1)
        edge = np.any(np.minimum(wanted - corners.min(0), corners.max(0) - wanted) < 2e-3, axis=1)
        assert len(np.unique(ids[inner])) == inner.sum() >= domain.particles - edge.sum()
        np.testing.assert_allclose(x[inner], wanted[ids[inner]], atol=1e-3)
        whole += 1
    assert whole == 6
    # and none twice or lost at faces
    cell = np.floor((x + observer) / L)
    total = sum(int(shell.counts.sum()) for shell in shells)
    assert total == len(x) and len(np.unique(np.column_stack([ids, cell]), axis=0)) > total - 20


def test_rotated_replicas_repeat_nothing_and_are_the_box_within_it(
    moving, domain, cosmology, tmp_path
):
    """The copy that has the observer in it is as it is; other seeds give other skies beyond."""
    options = {"z_max": 0.05, "shells": 5, "observer": (32.0, 32.0, 32.0)}
    periodic = follow(cone_of(domain, cosmology, tmp_path / "p", **options), moving)
    options["replicas"] = "rotated"
    skies = [
        follow(cone_of(domain, cosmology, tmp_path / str(i), replica_seed=i, **options), moving)
        for i in (1, 2)
    ]
    assert periodic[0].chi[1] < 31.0 < periodic[1].chi[1]
    np.testing.assert_array_equal(skies[0][0].counts, periodic[0].counts)
    for a, b, c in zip(*skies, periodic, strict=True):
        assert a.counts.sum() == pytest.approx(c.counts.sum(), rel=0.2)
        if a.number > 1:
            assert np.any(a.counts != c.counts) and np.any(a.counts != b.counts)


class Flowing(NamedTuple):
    """A frame that flows along x by so many Mpc/h until D = 1, past an observer at rest."""

    frame: SeparableFrame
    speed: np.float32

    def displacement(self, D):
        return self.frame.displacement(D) + along_x(self.speed * (D - 1.0))

    def velocity(self, D):
        return self.frame.velocity(D) + along_x(self.speed)


def along_x(value):
    return np.array([[value], [0.0], [0.0]], np.float32)


def read_particles(light_cone, numbers=None, with_ids=False):
    """Places from the observer in Mpc/h, velocities in km/s, scale factors, and perhaps numbers."""
    rows, ids = [], []
    for number in range(light_cone.cone.shells) if numbers is None else numbers:
        (path,) = particle_files(light_cone.directory, number, 1)
        with h5py.File(path) as file:
            ids.append(file["PartType1/ParticleIDs"][:].astype(int))
            x, u, z = (file["PartType1"][k][:] for k in ("Coordinates", "Velocities", "Redshift"))
        rows.append(np.column_stack([x / 1e3, u, scale_factor(z.astype(float))]))
    x, u, a = np.split(np.concatenate(rows).astype(float), [3, 6], axis=1)
    found = x, u * np.sqrt(a), a[:, 0]
    return (*found, np.concatenate(ids)) if with_ids else found


@pytest.mark.parametrize("redshift_space", [False, True])
def test_a_cone_goes_on_where_a_checkpoint_left_it(
    redshift_space, moving, domain, cosmology, tmp_path
):
    space = {"redshift_space": redshift_space}
    whole = follow(cone_of(domain, cosmology, tmp_path / "whole", **space), moving)
    first = cone_of(domain, cosmology, tmp_path / "parts", **space)
    halfway = len(first.times) // 2
    for D in first.times[:halfway]:
        first.see(Snapshot(D, moving.displacement(D), moving.velocity(D)))
    memory = {name: array.copy() for name, array in first.memory.items()} | {"other": np.ones(1)}
    second = cone_of(domain, cosmology, tmp_path / "parts", **space)
    second.restore(memory)
    assert list(memory) == ["other"] and second.pending == first.times[halfway:]
    for D in second.pending:
        second.see(Snapshot(D, moving.displacement(D), moving.velocity(D)))
    for a, b in zip(whole, shells_of(second), strict=True):
        np.testing.assert_array_equal(a.counts, b.counts)


def test_a_shell_that_has_gone_is_missed(moving, domain, cosmology, tmp_path):
    light_cone = cone_of(domain, cosmology, tmp_path)
    follow(light_cone, moving)
    shell_path(tmp_path, 3).unlink()
    again = cone_of(domain, cosmology, tmp_path)
    with pytest.raises(FileError, match=r"shell_003.hdf5 is missing"):
        again.restore(light_cone.memory)


def test_through_the_integrator(nonlinear, domain, cosmology, tmp_path):
    """The cone's times are outputs: particles of a few steps are seen as those of many."""
    totals = []
    for steps in (8, 16):
        light_cone = cone_of(domain, cosmology, tmp_path / str(steps))
        for snapshot in nonlinear.bullfrog(steps, outputs=(*light_cone.times,)):
            light_cone.see(snapshot)
        totals.append(np.array([s.counts.sum() for s in shells_of(light_cone)]))
    np.testing.assert_allclose(totals[0], totals[1], rtol=0.01)


def test_boundaries_of_steps_are_enough(nonlinear, domain, cosmology, tmp_path):
    """Within a step trajectories are cubics: particles at its ends give the maps that particles at
    all times give, but for the few that round-off puts into the next pixel."""
    often = cone_of(domain, cosmology, tmp_path / "often", shells=8, z_max=0.1)
    seldom = cone_of(domain, cosmology, tmp_path / "seldom", shells=8, z_max=0.1)
    seldom.ask_at(uniform_boundaries(D_START, 1.0, 6).tolist())
    assert len(seldom.times) == 2 < len(often.times) and seldom.times[-1] == 1.0
    for light_cone in (often, seldom):
        for snapshot in nonlinear.bullfrog(6, outputs=(*light_cone.times,)):
            light_cone.see(snapshot)
    for a, b in zip(shells_of(often), shells_of(seldom), strict=True):
        assert np.abs(a.counts - b.counts).sum() <= 2e-3 * a.counts.sum()
        assert abs(int(a.counts.sum()) - int(b.counts.sum())) <= 1e-5 * a.counts.sum()
    assert not seldom.has_velocities
    assert cone_of(domain, cosmology, tmp_path / "momentum", momentum=True).has_velocities
