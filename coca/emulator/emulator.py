"""A trained network with its time functions, scales and trained range."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from coca.cosmology.background import Cosmology
from coca.emulator.architecture import Architecture
from coca.emulator.features import features
from coca.emulator.layers import GhostPlanes, fold, own_ghost_planes, unfold
from coca.emulator.network import Slabs, UNet, Whole, style_of
from coca.emulator.time_functions import TimeFunctions
from coca.emulator.weights_file import TrainedRange, Weights, read_weights, write_weights
from coca.frames import Frame, SeparableFrame, Term, lpt_terms
from coca.initial_conditions.linear_fields import InitialConditions
from coca.integration.linear_density import linear_density
from coca.parallel.domain import Domain


class Emulator:
    """From linear fields to the frame of emulated trajectories.

    Parameters
    ----------
    network : UNet
    functions : TimeFunctions
        The K functions b_k(D) whose coefficient fields the network gives.
    input_scale : array (CHANNELS,)
        Features are divided by these.
    output_scale : array (K,)
        The network's outputs are multiplied by these, Mpc/h.
    trained : TrainedRange
    """

    def __init__(
        self,
        network: UNet,
        functions: TimeFunctions,
        input_scale: np.ndarray,
        output_scale: np.ndarray,
        trained: TrainedRange,
    ):
        self.network, self.functions, self.trained = network, functions, trained
        self.input_scale = np.asarray(input_scale, np.float32)
        self.output_scale = np.asarray(output_scale, np.float32)

    @property
    def architecture(self) -> Architecture:
        """Sizes of the network."""
        return self.network.architecture

    def save(self, path: Path) -> None:
        """Write the file, the network in half precision, whole or not at all."""
        write_weights(path, self.weights())

    def weights(self) -> Weights:
        """What the file of this emulator holds."""
        parameters = {
            name: value.detach().to("cpu", torch.float16).contiguous().numpy()
            for name, value in self.network.state_dict().items()
        }
        return Weights(
            self.architecture,
            parameters,
            self.functions,
            self.input_scale,
            self.output_scale,
            self.trained,
        )

    @classmethod
    def load(cls, path: Path | None = None) -> Emulator:
        """Read a file of `save`; by default the weights shipped with the package.

        Raises
        ------
        FileError
            The file is missing, damaged or not an emulator.
        """
        return cls.of(read_weights(path))

    @classmethod
    def of(cls, weights: Weights) -> Emulator:
        """The emulator with these weights."""
        network = UNet(weights.architecture)
        network.load_state_dict(
            {
                name: torch.from_numpy(value.astype(np.float32))
                for name, value in weights.parameters.items()
            }
        )
        scales = weights.input_scale, weights.output_scale
        return cls(network, weights.functions, *scales, weights.trained)

    def frame(
        self,
        domain: Domain,
        cosmology: Cosmology,
        conditions: InitialConditions,
        device: torch.device,
        precision: torch.dtype = torch.float32,
        slabs: int = 1,
    ) -> Frame:
        """Second-order LPT plus the network's correction, from one pass; see `coefficients`."""
        C = self.coefficients(domain, cosmology.Omega_m, conditions, device, precision, slabs)
        terms = lpt_terms(cosmology, conditions.psi1, conditions.psi2)
        terms += [Term(self.functions.growth(k), C[k]) for k in range(len(C))]
        return SeparableFrame(conditions.psi1.shape[1], *terms)

    def coefficients(
        self,
        domain: Domain,
        Omega_m: float,
        conditions: InitialConditions,
        device: torch.device,
        precision: torch.dtype = torch.float32,
        slabs: int = 1,
    ) -> np.ndarray:
        """Coefficient fields C_k(q) of this rank's particles, array (K, 3, N) float32 in Mpc/h.

        With more than one slab every layer is done slab by slab on the device, and fields stay in
        the host's memory; the result is the same.
        """
        network = self.network.on(device).eval()
        inputs = features(domain, conditions.delta_k, conditions.psi1, conditions.psi2)
        inputs /= self.input_scale[:, None, None, None]
        sigma = linear_density(domain, conditions.delta_k, 1.0).log_rms
        style = style_of(self.architecture.styles, Omega_m, sigma, domain.cell).to(device)
        with threads(domain.threads), torch.inference_mode():
            fields, ghost_planes = (
                fold(torch.from_numpy(inputs)[None].to(precision)),
                ghost_planes_of(domain),
            )
            del inputs
            if slabs == 1:
                outputs = network.folded(fields.to(device), style, Whole(ghost_planes))
            else:
                outputs = network.folded(fields, style, Slabs(slabs, device, ghost_planes))
            outputs = unfold(outputs)[0].float().cpu().contiguous()
        C = outputs.numpy().reshape(len(self.functions), 3, -1)
        C *= self.output_scale[:, None, None]
        return C


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Have torch use some number of threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ghost_planes_of(domain: Domain) -> GhostPlanes:
    """The ghost planes of fields of which every rank has some planes."""
    if domain.ranks.size == 1:
        return own_ghost_planes

    def ghost_planes(x: torch.Tensor, planes: int) -> tuple[torch.Tensor, torch.Tensor]:
        if x.shape[2] > 2 * planes:  # the rest need not leave the device
            x = torch.cat((x[:, :, :planes], x[:, :, -planes:]), dim=2)
        by_planes = x[0].permute(1, 2, 3, 0).contiguous().cpu()
        found = domain.ghost_planes(by_planes.view(torch.uint8).numpy(), planes, planes, "network")
        tensors = (torch.from_numpy(edge).view(x.dtype).to(x.device) for edge in found)
        before, after = (tensor.permute(3, 0, 1, 2)[None] for tensor in tensors)
        return before, after

    return ghost_planes
