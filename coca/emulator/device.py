"""The device and the arithmetic of the network."""

from __future__ import annotations

import torch

from coca.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """The torch device for "auto", "cpu" or "cuda".

    Raises
    ------
    ConfigError
        CUDA is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError("device: found cuda, but torch sees no CUDA device; wanted auto or cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


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
