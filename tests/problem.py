"""Initial conditions with the force that moves them, and frames to follow them in."""

import numpy as np

from coca.configuration.loading import make_config
from coca.frames import SeparableFrame, Term, rest_frame
from coca.integration import schemes
from coca.integration.integrate import initial_state, integrate
from coca.integration.kicks import ResidualKick, VelocityKick
from coca.run.plan import make_plan
from coca.run.simulation import run_plan

D_START = 0.06


def run(config_values, **options):
    """The simulation of a configuration, with some of its values others."""
    return run_plan(make_plan(make_config(config_values | options)))


def frame_of_lpt(run):
    """The 2LPT trajectories of a run of the fit."""
    return run.conditions.lpt_frame(run.cosmology)


def uniform_boundaries(D0, D1, steps):
    return schemes.step_boundaries(D0, D1, schemes.power_fractions(steps))


class Problem:
    """Initial conditions with the force that moves them."""

    def __init__(self, domain, cosmology, conditions, force):
        self.domain, self.cosmology, self.force = domain, cosmology, force
        self.conditions = conditions
        self.lpt = conditions.lpt_frame(cosmology)

    def bullfrog(self, steps, outputs=(1.0,), scheme=schemes.bullfrog):
        rest = rest_frame(self.domain.particles)
        plan = scheme(self.cosmology, uniform_boundaries(D_START, outputs[-1], steps))
        state = initial_state(self.lpt, rest, D_START)
        run = integrate(self.domain, rest, self.force, VelocityKick(), plan, state, outputs)
        return list(run)

    def residual(self, frame, steps, gain=0.0, outputs=(1.0,), force=None):
        plan = schemes.residual(self.cosmology, uniform_boundaries(D_START, outputs[-1], steps))
        rule = ResidualKick(self.domain, self.cosmology, frame, gain)
        state = initial_state(self.lpt, frame, D_START)
        run = integrate(self.domain, frame, force or self.force, rule, plan, state, outputs)
        return list(run)


def noisy_frame(problem, scale):
    """2LPT plus random displacements that grow in time: an emulator that knows nothing."""
    noise = np.random.default_rng(7).normal(size=problem.conditions.psi1.shape) * scale
    terms = [
        Term(lambda D: (D, 1.0, 0.0), problem.conditions.psi1),
        Term(problem.cosmology.D2_of_D, problem.conditions.psi2),
        Term(lambda D: (D**3, 3 * D**2, 6 * D), noise.astype(np.float32)),
    ]
    return SeparableFrame(problem.domain.particles, *terms)


def frames(problem):
    return {
        "rest": rest_frame(problem.domain.particles),
        "lpt": problem.lpt,
        "noise": noisy_frame(problem, 0.5),
    }


def rms(a, b):
    return float(np.sqrt(np.mean((a.disp - b.disp) ** 2, dtype=np.float64)))
