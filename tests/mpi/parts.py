"""Parts of arrays that ranks have."""


def own(domain, array):
    """This rank's particles of an array (..., N of the whole box)."""
    first = domain.first_particle
    return array[..., first : first + domain.own_particles].copy()
