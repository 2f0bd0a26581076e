"""A training that begins with the weights of another: of other time functions, scales, styles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from coca.emulator.architecture import Architecture
from coca.emulator.time_functions import TimeFunctions
from coca.emulator.weights_file import Weights
from coca.errors import ConfigError

if TYPE_CHECKING:
    from coca.emulator.emulator import Emulator

SIZES = "channels", "blocks", "blocks_up"
"""What of an architecture must be the same."""
TIMES = np.linspace(0.0, 1.0, 65)[1:]
"""Growth factors at which time functions are expanded in others."""


def check_start(weights: Weights, wanted: Architecture) -> None:
    """Raise ConfigError if a training of this architecture cannot begin with weights."""
    for name in SIZES:
        have, want = getattr(weights.architecture, name), getattr(wanted, name)
        if have != want:
            raise ConfigError(f"start: found weights of network.{name} {have}, wanted {want}")


@torch.no_grad()
def begin_with(weights: Weights, emulator: Emulator) -> None:
    """Have an emulator's network give the trajectories that weights give, as nearly as its time
    functions can; of its styles those that the weights do not know change nothing yet.

    Parameters
    ----------
    weights : Weights
        That `check_start` passes.
    emulator : Emulator
    """
    own = dict(emulator.network.named_parameters())
    found = {name: p.astype(np.float32) for name, p in weights.parameters.items()}
    columns = _style_columns(weights.architecture, emulator.architecture)
    for name, parameter in own.items():
        if name.endswith(".style.weight"):
            parameter.zero_()
            for mine, theirs in columns:
                parameter[:, mine] = torch.from_numpy(found[name][:, theirs])
        elif not name.startswith("head."):
            parameter.copy_(torch.from_numpy(found[name]))
    units = torch.from_numpy(np.tile(emulator.input_scale / weights.input_scale, 8))
    units = units.to(own["stem.weight"].device)[:, None, None, None]
    own["stem.weight"].mul_(units)
    mixing = _mixing(weights, emulator)
    for name in ("head.weight", "head.bias"):
        own[name].copy_(torch.from_numpy(_mixed(mixing, found[name])))
    own["head.weight"][:, -len(units) :].mul_(units)


def _style_columns(theirs: Architecture, mine: Architecture) -> list[tuple[int, int]]:
    """Positions of the styles that both have."""
    both = [style for style in mine.styles if style in theirs.styles]
    return [(mine.styles.index(style), theirs.styles.index(style)) for style in both]


def _mixing(weights: Weights, emulator: Emulator) -> np.ndarray:
    """What turns outputs of the weights (K',) into those of the emulator, array (K, K')."""
    expansion = expand(weights.functions, emulator.functions)
    return expansion * weights.output_scale / emulator.output_scale[:, None]


def expand(functions: TimeFunctions, basis: TimeFunctions) -> np.ndarray:
    """Coefficients (K, K') of K' time functions in a basis of K, least squares over D."""
    return np.linalg.lstsq(basis(TIMES).T, functions(TIMES).T, rcond=None)[0]


def _mixed(mixing: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows (8 * 3 K', ...) of the head, of cells, time functions and components, as (8 * 3 K, ...)
    ones."""
    _, K = mixing.shape
    parts = np.einsum("jk,ckx...->cjx...", mixing, rows.reshape(8, K, 3, *rows.shape[1:]))
    return np.ascontiguousarray(parts.reshape(-1, *rows.shape[1:]), np.float32)
