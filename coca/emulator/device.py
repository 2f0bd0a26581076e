"""The device and the arithmetic of the network.

Both are names, as torch has them: torch, which takes a second to load, is asked only where there
may be a GPU.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

from coca.emulator.architecture import REACH
from coca.errors import ConfigError
from coca.parallel.machine import processor_flags

FREE_SHARE = 0.8
"""Share of a GPU's free memory that a pass may take by its estimate."""
DRIVERS = "libcuda.so.1", "nvcuda.dll"
"""NVIDIA's library, without which torch finds no GPU of theirs."""
AMD_DRIVER = Path("/dev/kfd")


def choose_device(name: str, rank: int = 0) -> str:
    """The torch device, such as "cpu" or "cuda:1", for "auto", "cpu" or "cuda"; ranks of one
    machine take turns at its GPUs.

    Raises
    ------
    ConfigError
        CUDA is asked for and there is none.
    """
    count = 0 if name == "cpu" else gpus()
    if name == "cuda" and not count:
        raise ConfigError("device: found cuda, but torch sees no CUDA device; wanted auto or cpu")
    return f"cuda:{rank % count}" if count else "cpu"


def gpus() -> int:
    """Number of GPUs that torch sees."""
    if not has_driver():
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def has_driver() -> bool:
    """Whether this machine has a driver of GPUs that torch could use."""
    for name in DRIVERS:
        with suppress(OSError):
            ctypes.CDLL(name)
            return True
    return AMD_DRIVER.exists()


def sharers(device: str, ranks: int) -> int:
    """Most of a machine's ranks that share a device, each with its own pass to hold there."""
    return 1 if device == "cpu" else -(-ranks // gpus())


def choose_precision(name: str, device: str) -> str:
    """The torch dtype of the network's products for "auto", "float32" or "bfloat16"."""
    if name == "auto":
        return "bfloat16" if _multiplies_bfloat16(device) else "float32"
    return name


def _multiplies_bfloat16(device: str) -> bool:
    """Whether the hardware has bfloat16 products; emulated ones are slower than float32."""
    if device == "cpu":
        return "avx512_bf16" in processor_flags()
    import torch

    return torch.cuda.is_bf16_supported(including_emulation=False)


def bytes_per_particle(precision: str) -> int:
    """Bytes per particle of the network's pass: features, activations and coefficients, and the
    scratch of its products, as measured on a CPU."""
    return 240 if precision == "bfloat16" else 255


def choose_slabs(device: str, planes: int, needed: int) -> int:
    """Number of slabs in which the network is done: as few as fit a GPU's free memory; 1 on a CPU.

    Parameters
    ----------
    device : str
    planes : int
        Of the network's coarsest level, which the number divides.
    needed : int
        Bytes of a pass in one piece.

    Raises
    ------
    ConfigError
        No number is enough.
    """
    if device == "cpu":
        return 1
    import torch

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
    """Bytes on the device of a slab with the planes that it reaches, from those of the whole."""
    return needed if count == 1 else needed * (1.0 / count + REACH / planes)
