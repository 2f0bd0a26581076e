"""What stands where in the arrays of `kernels.lattice_network`."""

DISPLACEMENT, VELOCITY, INWARD, RESIDUAL = 0, 3, 6, 9
"""First of three fields: displacement over the spacing; D v over the spacing; 3 g / (3 + delta), by
which a particle in a uniform sphere is away from its centre; and S / (1 + |S|), S the residual
acceleration of the last step in spacings."""
LOG_DENSITY, SQUARE, LOG_BEFORE = 12, 13, 14
"""ln(1.05 + delta); |S|^2 / (1 + |S|)^2; and ln(1.05 + delta) of the last step's force."""
FIELDS, AVERAGED = 15, 14
REACHES = (1, 2, 4)
WIDTHS = len(REACHES)
VECTORS = 10
"""How many vectors move positions."""
VELOCITIES = VECTORS + WIDTHS
"""How many vectors move velocities: those, and differences of velocity from neighbours."""
CONDITIONS = 3
SCALARS = 2 + WIDTHS + VECTORS + VECTORS * (VECTORS - 1) // 2 + CONDITIONS
OUTPUTS = VECTORS + VELOCITIES
