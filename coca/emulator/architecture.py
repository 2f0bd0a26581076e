"""The network's sizes, and those of its parameters, told without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass

REACH = 2
"""How many planes on either side a plane depends on in a block."""


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network."""

    inputs: int
    """Channels of the input features."""
    outputs: int
    """Channels of the output."""
    channels: tuple[int, ...] = (48, 96, 96)
    """Channels at 1/2, 1/4, ... of the particle resolution."""
    blocks: tuple[int, ...] = (1, 2, 2)
    """Residual blocks on the way down at each level; the deepest level has only these."""
    blocks_up: tuple[int, ...] = (1, 1)
    """Residual blocks on the way up at each level but the deepest."""
    styles: tuple[str, ...] = ("Omega_m",)
    """Conditioning values, of `coca.emulator.network.style_of`."""

    @property
    def divisor(self) -> int:
        """The number by which particles per dimension must divide."""
        return 2 ** len(self.channels)

    def to_dict(self) -> dict:
        """Plain values, for a file header."""
        return asdict(self)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters of `coca.emulator.network.UNet` by their names there."""
        first, levels = self.channels[0], list(zip(self.channels, self.channels[1:], strict=False))
        found = _layer("stem", first, 8 * self.inputs, 1, 1, 1)
        for i, (fine, coarse) in enumerate(levels):
            found |= _layer(f"down.{i}", coarse, 8 * fine, 1, 1, 1)
            found |= _layer(f"up.{i}", 8 * fine, coarse, 1, 1, 1)
        for name, blocks in (("encode", self.blocks), ("decode", self.blocks_up)):
            for i, (channels, count) in enumerate(zip(self.channels, blocks, strict=False)):
                for j in range(count):
                    found |= _block(f"{name}.{i}.{j}", channels, len(self.styles))
        return found | _layer("head", 8 * self.outputs, first + 8 * self.inputs, 1, 1, 1)


def _block(name: str, channels: int, styles: int) -> dict[str, tuple[int, ...]]:
    return {
        **_layer(f"{name}.conv0", channels, channels, 3, 3, 3),
        **_layer(f"{name}.conv1", channels, channels, 3, 3, 3),
        **_layer(f"{name}.style", 2 * channels, styles),
    }


def _layer(name: str, outputs: int, *sizes: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, *sizes), f"{name}.bias": (outputs,)}
