"""The device and the arithmetic of the network."""

from __future__ import annotations

import torch

from coca.emulator.layers import HALO
from coca.errors import ConfigError

FREE_SHARE = 0.8
"""Of a GPU's free memory that a pass may take by its estimate."""


def choose_device(name: str, rank: int = 0) -> torch.device:
    """The torch device for "auto", "cpu" or "cuda"; ranks of one machine take turns at its GPUs.

    Raises
    ------
    ConfigError
        CUDA is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError("device: found cuda, but torch sees no CUDA device; wanted auto or cpu")
    if not available or name == "cpu":
        return torch.device("cpu")
    return torch.device("cuda", rank % torch.cuda.device_count())


def sharers(device: torch.device, ranks: int) -> int:
    """Most of a machine's ranks that share a device, each with its own pass to hold there."""
    return -(-ranks // torch.cuda.device_count()) if device.type == "cuda" else 1


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype of the network's products for "auto", "float32" or "bfloat16"."""
    if name == "auto":
        return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32
    return getattr(torch, name)


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has bfloat16 products; emulated ones are slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported and supported())


def bytes_per_particle(precision: torch.dtype) -> int:
    """Of the network's pass: features, activations and coefficients, and the scratch of its
    products, as measured on a CPU."""
    return 240 if precision == torch.bfloat16 else 255


def choose_slabs(device: torch.device, planes: int, needed: int) -> int:
    """In how many slabs the network is done: as few as fit the free memory of a GPU; one on a CPU.

    Parameters
    ----------
    device : torch.device
    planes : int
        Of the network's coarsest level, which the number divides.
    needed : int
        Bytes of a pass in one piece.

    Raises
    ------
    ConfigError
        No number is enough.
    """
    if device.type != "cuda":
        return 1
    free = torch.cuda.mem_get_info(device)[0]
    for count in range(1, planes + 1):
        if planes % count == 0 and slab_memory(needed, count, planes) <= FREE_SHARE * free:
            return count
    least = slab_memory(needed, planes, planes)
    raise ConfigError(
        f"particles: the network needs {least / 2**30:.1f} GiB in its smallest slabs, the GPU has "
        f"{free / 2**30:.1f} GiB free; wanted fewer particles or device: cpu"
    )


def slab_memory(needed: int, count: int, planes: int) -> float:
    """Bytes on the device of a slab with its halo, from those of the whole."""
    return needed if count == 1 else needed * (1.0 / count + HALO / planes)
