"""The fit of integration steps to converged simulations."""
