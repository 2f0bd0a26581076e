"""Choice of the resolved gain: error against its strength at each number of force evaluations.

    python benchmarks/gain.py --seeds 13,14,15,16

Compares x = alpha kappa (H/2)^2 with constant alpha against x = gain H kappa (H/2)^2, which
`coca.integrate.ResidualKick` uses, at k = 1 h/Mpc; setting as in benchmarks/accuracy.py.
"""

from __future__ import annotations

import argparse

import numpy as np
from accuracy import REFERENCE_STEPS, compare, parse, plan_of

from coca.config import Config, IntegratorConfig
from coca.plan import Plan
from coca.simulate import growth_factors, simulate

ALPHAS = (1.0, 2.0, 3.0)
GAINS = (6.0, 8.0, 10.0)
FORCES = (2, 4, 8, 12)


def main() -> None:
    """Command line of the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="13,14,15,16")
    options = parse(["--seeds", parser.parse_args().seeds])
    errors = {}
    for seed in options.seeds:
        truth = simulate(plan_of(options, "bullfrog", REFERENCE_STEPS, seed, 0.3175))
        for count in FORCES:
            plan = plan_of(options, "coca", count, seed, 0.3175)
            for name, gain in strengths(plan.config).items():
                row = next(
                    row
                    for row in compare(simulate(with_gain(plan, gain)), truth, {})
                    if row["k"] == 1.0
                )
                errors.setdefault((name, count), []).append((1 - row["r"], row["p_ratio"] - 1))
    names = list(dict.fromkeys(name for name, _ in errors))
    print(f"1 - r and P - 1 at k = 1 h/Mpc in per cent, mean over {len(options.seeds)} seeds")
    print(f"| steps | {' | '.join(names)} |\n|{' --- |' * (1 + len(names))}")
    for count in FORCES:
        means = [100 * np.mean(errors[name, count], axis=0) for name in names]
        print(f"| {count} | {' | '.join(f'{r:.2f}, {P:+.1f}' for r, P in means)} |")


def strengths(config: Config) -> dict[str, float]:
    """The gains to compare; a constant alpha is gain = alpha / H."""
    D_start, outputs = growth_factors(config, config.cosmology.build())
    H = (outputs[-1] - D_start) / config.force_evaluations
    constant = {f"alpha = {alpha:g}": alpha / H for alpha in ALPHAS}
    return constant | {f"gain = {gain:g}": gain for gain in GAINS}


def with_gain(plan: Plan, gain: float) -> Plan:
    """The same plan with another gain."""
    integrator = IntegratorConfig(gain=gain)
    config = plan.config.model_copy(update={"integrator": integrator})
    return Plan(config, plan.threads, plan.network, plan.memory, plan.warnings)


if __name__ == "__main__":
    main()
