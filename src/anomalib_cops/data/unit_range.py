"""Check that images in memory have levels from 0 (black) to 1 (white)."""

from collections.abc import Iterable

import torch
from torch import Tensor

from anomalib_cops.errors import InputError
from anomalib_cops.images.reading import LEAST_WHITE, OVERSHOOT, wrong_range

_DIVISORS = {torch.uint8: 255, torch.uint16: 65535}


def to_unit_range(images: Tensor, names: Iterable[str] | None = None) -> Tensor:
    """Return images in memory with levels from 0 (black) to 1 (white), as models take them.

    Args:
        images: Shape (batch, channels, height, width). Levels in uint8 or uint16 are scaled.
        names: Names of the images, for the message.

    Raises:
        InputError: The levels are not in [0, 1], or so low that they must have been scaled twice.
    """
    if images.dtype in _DIVISORS:
        return images.to(torch.float32) / _DIVISORS[images.dtype]
    if not images.is_floating_point():
        raise InputError(
            f"images of {images.dtype} do not say what is white; give levels in [0, 1], or of 8 or 16 bits as "
            "torch.uint8 or torch.uint16."
        )
    rows = images.detach().flatten(1)
    # torch.aminmax takes several times as long as the two apart.
    low, high = rows.amin(dim=1).float(), rows.amax(dim=1).float()
    beyond = (low < -OVERSHOOT) | (high > 1 + OVERSHOOT)
    # The models themselves refuse NaN and infinite levels.
    wrong = (beyond | ((high > 0) & (high < LEAST_WHITE))) & torch.isfinite(low) & torch.isfinite(high)
    if wrong.any():
        row = int(wrong.int().argmax())
        name = list(names)[row] if names is not None else f"Image {row + 1} of a batch"
        raise InputError(wrong_range(name, float(low[row]), float(high[row])))
    return images
