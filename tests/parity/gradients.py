"""Gradients, and parameters after a step, by the official parameter names."""

import numpy as np
import torch
from torch import Tensor

from tests.parity.compare import Comparison

GRADIENT, DEEP_GRADIENT, DEEP_NORM, AFTER_STEP = 1e-4, 5e-3, 5e-4, 1e-6
Named = dict[str, tuple[Tensor, Tensor]]


def sampled(values: Tensor) -> Tensor:
    """The entries that fixtures store."""
    indices = np.unique(np.linspace(0, values.numel() - 1, min(64, values.numel())).astype(np.int64))
    return values.flatten()[torch.from_numpy(indices)]


def check_gradients(comparison: Comparison, named: Named, key: str, kind: str) -> None:
    """Norm and sampled entries of every gradient, relative to its root mean square."""
    for official, (_, gradient) in named.items():
        deep = official.startswith("compound_prompts_text.") and kind == "grad"
        norm_key, entry_key = f"{key}{kind}_norm.{official}", f"{key}{kind}.{official}"
        norm = float(comparison.fixture[norm_key])
        comparison.check(norm_key, gradient.norm(), norm * (DEEP_NORM if deep else GRADIENT))
        if entry_key in comparison.fixture:
            rms = norm / gradient.numel() ** 0.5
            comparison.check(entry_key, sampled(gradient), rms * (DEEP_GRADIENT if deep else GRADIENT))


def check_first_step(comparison: Comparison, named: Named, key: str, rate: float) -> None:
    """Parameters after one step, where the gradient is more than rounding noise (Adam divides by its size)."""
    for official, (value, _) in named.items():
        gradient = comparison.fixture[f"{key}grad.{official}"]
        rms = float(comparison.fixture[f"{key}grad_norm.{official}"]) / value.numel() ** 0.5
        where = np.abs(gradient) > 0.01 * rms
        comparison.check(f"{key}after1.{official}", sampled(value), AFTER_STEP, where=where)
        # Elsewhere both have gone at most one step, in whatever direction.
        comparison.check(f"{key}after1.{official}", sampled(value), 2.1 * rate)
