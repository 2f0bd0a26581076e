"""The emulator: from the linear displacement field and Omega_m to whole trajectories."""
