"""Measure which blocks of the frozen towers 8-bit integers would hurt, one block at a time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from anomalib_cops.host.image_scores import one_by_one, predict_raw
from anomalib_cops.host.runtime import blocks_of

LEVELS = 127


@dataclass(frozen=True)
class Sensitivity:
    """What rounding the products of one block changes.

    Attributes:
        block: the block, such as ``image.24``, counted from 1.
        mean_score: mean change of an image score.
        max_score: largest change of an image score.
        mean_map: mean change of a pixel of the maps.
    """

    block: str
    mean_score: float
    max_score: float
    mean_map: float


class RoundedProducts(TorchFunctionMode):
    """Round both factors of the products with some weights to 8 bits: weights by rows, tokens as a whole.

    Runtimes quantise so, too, but search better ranges. This tells blocks apart without an export.

    Args:
        weights: matrices whose products are rounded.
    """

    def __init__(self, weights: Sequence[Tensor]) -> None:
        super().__init__()
        self._addresses = {each.data_ptr() for each in weights}

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call ``func``, with rounded factors if it is such a product."""
        if func is F.linear and args[1].data_ptr() in self._addresses:
            args = (rounded(args[0], args[0].abs().max()), rounded(args[1], args[1].abs().amax(-1, True)), *args[2:])
        return func(*args, **(kwargs or {}))


def rounded(values: Tensor, largest: Tensor) -> Tensor:
    """Return values at the nearest of 255 steps between minus and plus ``largest``."""
    step = largest.clamp_min(torch.finfo(values.dtype).tiny) / LEVELS
    return (values / step).round().clamp(-LEVELS, LEVELS) * step


def measure_sensitivity(module: Any, paths: Sequence[str]) -> list[Sensitivity]:
    """Score images once as they are, and once for each block with its products rounded.

    Args:
        module: Lightning module of this package, with trained weights.
        paths: images; a few dozen tell blocks apart.

    Returns:
        One entry per block, the most sensitive one first. A block that no image needs, as the text is the same for all,
        changes nothing.
    """
    module.eval()
    exact = _predict(module, paths)
    found = []
    for name, block in blocks_of(module.clip).items():
        with _in_float32(block) as matrices, RoundedProducts(matrices):
            scores, maps = _predict(module, paths)
        changes, pixels = (scores - exact[0]).abs(), (maps - exact[1]).abs()
        found.append(Sensitivity(name, float(changes.mean()), float(changes.max()), float(pixels.mean())))
    return sorted(found, key=lambda each: -each.mean_score)


def _predict(module: Any, paths: Sequence[str]) -> tuple[Tensor, Tensor]:
    found = [predict_raw(module, batch) for batch in one_by_one(module, paths)]
    scores, maps = zip(*found, strict=True)
    return torch.cat(scores), torch.cat([each.flatten() for each in maps])


@contextmanager
def _in_float32(block: Any) -> Iterator[list[Tensor]]:
    """Widen the matrices of a block, which may be kept in half precision, so that products find them as they are."""
    kept = {parameter: parameter.data for parameter in block.parameters() if parameter.ndim == 2}
    try:
        for parameter, value in kept.items():
            parameter.data = value.float()
        yield [parameter.data for parameter in kept]
    finally:
        for parameter, value in kept.items():
            parameter.data = value
