import pytest

from coca.emulator.architecture import Architecture
from coca.emulator.network import UNet


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(16, 12),
        Architecture(16, 6, (4, 6), (1, 3), (2,)),
        Architecture(16, 6, (4, 6), (1, 1), (1,), ("Omega_m", "ln_spacing")),
        Architecture(5, 3, (4,), (1,), ()),
    ],
)
def test_shapes_are_those_of_the_network(architecture):
    wanted = {name: tuple(v.shape) for name, v in UNet(architecture).state_dict().items()}
    assert architecture.shapes() == wanted


def test_divisor_halves_at_every_level():
    assert Architecture(16, 12, (4, 6, 8)).divisor == 8
