"""A trained network with its time functions, scales and trained range: one safetensors file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from coca.cosmology.background import Cosmology
from coca.emulator.features import CHANNELS, features
from coca.emulator.layers import Edges, fold, own_edges, unfold
from coca.emulator.network import Architecture, Slabs, UNet, Whole, style_of
from coca.emulator.time_functions import TimeFunctions
from coca.errors import ConfigError, FileError
from coca.files.safetensors import read_tensors, write_tensors
from coca.frames import Frame, SeparableFrame, Term, lpt_terms
from coca.initial_conditions.linear_fields import InitialConditions
from coca.integration.fitted_kick import log_rms_density
from coca.parallel.domain import Domain, check_ranks

SHIPPED_WEIGHTS = Path(__file__).parent / "weights" / "quijote-2mpc.safetensors"
FORMAT = "coca-emulator-1"
CELL_TOLERANCE = 1e-3
"""Relative difference in particle spacing from the training that is still the same spacing."""
CELL_LIMIT = 0.15
"""Relative difference in particle spacing beyond which the network is of no use."""


@dataclass(frozen=True)
class TrainedRange:
    """What the network has seen."""

    cell: float
    """Particle spacing in Mpc/h."""
    Omega_m: tuple[float, float]
    sigma_8: tuple[float, float]
    redshift: tuple[float, float]
    """Latest and earliest redshift of the training trajectories."""

    def warnings(
        self, cell: float, cosmology: Cosmology, redshifts: tuple[float, ...]
    ) -> list[str]:
        """One line for each value outside the range; `cell` is the particle spacing."""
        values = [
            ("cosmology.Omega_m", cosmology.Omega_m, self.Omega_m),
            ("cosmology.sigma_8", cosmology.sigma_8, self.sigma_8),
            *(("output.redshifts", z, self.redshift) for z in redshifts),
        ]
        lines = [
            f"{key} = {value:g} is outside the range [{low:g}, {high:g}] of the emulator's training"
            for key, value, (low, high) in values
            if not low <= value <= high
        ]
        if abs(cell / self.cell - 1.0) > CELL_TOLERANCE:
            lines.append(
                f"box_size / particles = {cell:.4g} Mpc/h is not the spacing {self.cell:g} of the "
                "emulator's training"
            )
        return lines


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
        tensors = {
            f"network.{name}": value.detach().to("cpu", torch.float16).contiguous()
            for name, value in self.network.state_dict().items()
        }
        tensors["time_functions"] = torch.from_numpy(self.functions.coefficients)
        tensors["input_scale"] = torch.from_numpy(self.input_scale)
        tensors["output_scale"] = torch.from_numpy(self.output_scale)
        metadata = {
            "format": FORMAT,
            "architecture": json.dumps(self.architecture.to_dict()),
            "trained": json.dumps(asdict(self.trained)),
        }
        write_tensors(path, save_file, tensors, metadata)

    @classmethod
    def load(cls, path: Path | None = None) -> Emulator:
        """Read a file of `save`; by default the weights shipped with the package.

        Raises
        ------
        FileError
            The file is missing, damaged or not an emulator.
        """
        path = path or SHIPPED_WEIGHTS
        try:
            metadata, tensors = read_tensors(path, "pt")
            if metadata.get("format") != FORMAT:
                raise FileError(f"emulator.weights: {path}: wanted format {FORMAT}")
            network = UNet(_architecture(json.loads(metadata["architecture"])))
            prefix = "network."
            network.load_state_dict(
                {
                    name.removeprefix(prefix): value.float()
                    for name, value in tensors.items()
                    if name.startswith(prefix)
                }
            )
            trained = json.loads(metadata["trained"])
            trained = {k: tuple(v) if isinstance(v, list) else v for k, v in trained.items()}
            emulator = cls(
                network,
                TimeFunctions(tensors["time_functions"].numpy()),
                tensors["input_scale"].numpy(),
                tensors["output_scale"].numpy(),
                TrainedRange(**trained),
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise FileError(f"emulator.weights: cannot use {path}: {reason}") from None
        if not all(torch.isfinite(value).all() for value in tensors.values()):
            raise FileError(f"emulator.weights: {path}: values that are not finite")
        return emulator

    def check(self, particles: int, box_size: float, ranks: int = 1) -> None:
        """Raise ConfigError if the network cannot serve this particle lattice on these ranks."""
        divisor, cell = self.architecture.divisor, box_size / particles
        if particles % divisor:
            raise ConfigError(
                f"particles: found {particles}, wanted a multiple of {divisor} for the emulator"
            )
        if abs(cell / self.trained.cell - 1.0) > CELL_LIMIT:
            raise ConfigError(
                f"box_size: found {box_size:g} for {particles} particles, a spacing of "
                f"{cell:.4g} Mpc/h; wanted {particles * self.trained.cell:g}, or at most "
                f"{CELL_LIMIT:.0%} more or less, since the emulator was trained at "
                f"{self.trained.cell:g} Mpc/h"
            )
        planes = particles // divisor
        check_ranks(planes, ranks, f"{planes}, the planes of the emulator's coarsest level")

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
        torch.set_num_threads(domain.threads)
        network = self.network.on(device).eval()
        inputs = features(domain, conditions.delta_k, conditions.psi1, conditions.psi2)
        inputs /= self.input_scale[:, None, None, None]
        sigma = log_rms_density(domain, conditions.delta_k, 1.0)
        style = style_of(self.architecture.styles, Omega_m, sigma, domain.cell).to(device)
        with torch.inference_mode():
            fields, edges = fold(torch.from_numpy(inputs)[None].to(precision)), edges_of(domain)
            del inputs
            if slabs == 1:
                outputs = network.folded(fields.to(device), style, Whole(edges))
            else:
                outputs = network.folded(fields, style, Slabs(slabs, device, edges))
            outputs = unfold(outputs)[0].float().cpu().contiguous()
        C = outputs.numpy().reshape(len(self.functions), 3, -1)
        C *= self.output_scale[:, None, None]
        return C


def edges_of(domain: Domain) -> Edges:
    """The edges of fields of which every rank has some planes."""
    if domain.ranks.size == 1:
        return own_edges

    def edges(x: torch.Tensor, planes: int) -> tuple[torch.Tensor, torch.Tensor]:
        if x.shape[2] > 2 * planes:  # the rest need not leave the device
            x = torch.cat((x[:, :, :planes], x[:, :, -planes:]), dim=2)
        by_planes = x[0].permute(1, 2, 3, 0).contiguous().cpu()
        found = domain.ghost_planes(by_planes.view(torch.uint8).numpy(), planes, planes, "network")
        tensors = (torch.from_numpy(edge).view(x.dtype).to(x.device) for edge in found)
        before, after = (tensor.permute(3, 0, 1, 2)[None] for tensor in tensors)
        return before, after

    return edges


def _architecture(values: dict) -> Architecture:
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    architecture = Architecture(**values)
    if architecture.inputs != CHANNELS:
        raise ValueError(f"found {architecture.inputs} input channels, wanted {CHANNELS}")
    return architecture
