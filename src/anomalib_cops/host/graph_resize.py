"""Pillow's bicubic resizing in operations that torch, onnxruntime and OpenVINO compute alike.

Pillow resizes an axis by a weighted mean of pixels, with weights that are whole multiples of 2⁻²², rounds to 8 bits,
and does the other axis. A weight that is off by one of these units moves some pixels to another level. OpenVINO has
neither 64-bit floats nor integers, so weights are made of 32-bit integers, which are exact, and of float32 for what is
small beside them.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

UNIT = 2**22
HALF_UNIT = 2**11  # both halves of a weight times 255 add up below 2²⁴, up to where float32 holds all integers
STEPS = 512  # per pixel: the cube of a distance in steps, in units of 2⁻²⁸, is a 32-bit integer


class GraphResize(nn.Module):
    """Bicubic resizing to a fixed size, equal to Pillow's through 8 bits; images of that size pass unchanged.

    Args:
        size: height and width in pixels; the aspect ratio is not kept.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels new_height new_width"]:
        """Resize images in [0, 1]; what is outside is clipped."""
        height, width = images.shape[-2:]
        if isinstance(height, int) and isinstance(width, int) and (height, width) == self.size:
            return images
        # In a graph whose sizes are not known yet, images of the right size must pass the same way as all others.
        fits = _scalar(height, images) == self.size[0]
        fits = fits & (_scalar(width, images) == self.size[1])
        levels = 255 * images.float()
        levels = torch.where(fits, levels, levels.round().clamp(0, 255))
        rows = _resize_last(levels, self.size[1], fits)
        return (_resize_last(rows.mT, self.size[0], fits).mT / 255).to(images.dtype)


def _scalar(size: int, like: Tensor) -> Tensor:
    """A size as a tensor, also one that is still a symbol."""
    return torch.full((), size, device=like.device)


def _resize_last(levels: Float[Tensor, "*batch length"], size: int, fits: Tensor) -> Float[Tensor, "*batch size"]:
    """Resize the last axis of levels from 0 to 255; to levels, unless they fit as they are."""
    weights = pillow_weights(levels.shape[-1], size, levels.device)
    high, low = _divide(weights, HALF_UNIT)
    coarse, fine = levels @ high.float().mT, levels @ low.float().mT
    # Rounds (coarse * HALF_UNIT + fine) / UNIT, half up, by sums of integers that float32 holds.
    rounded = (coarse + (fine / HALF_UNIT).floor() + HALF_UNIT // 2) / HALF_UNIT
    return torch.where(fits, coarse / HALF_UNIT, rounded.floor().clamp(0, 255))


def pillow_weights(length: int, size: int, device: torch.device) -> Int[Tensor, "size length"]:
    """Weights of all old pixels in each new one, in units of 2⁻²²; together these are one.

    With t the distance in old pixels, or in new ones where an axis shrinks, the weight before normalisation is
    1.5 t³ - 2.5 t² + 1 up to 1, and -0.5 t³ + 2.5 t² - 4 t + 2 from there to 2. It is computed at a whole number of
    steps and expanded from there, which is exact for a cubic polynomial, wherever one starts.
    """
    new = torch.arange(size, dtype=torch.int32, device=device).unsqueeze(1)
    old = torch.arange(length, dtype=torch.int32, device=device)
    pixel: int = 2 * torch.sym_max(length, size)  # type: ignore[assignment] # in a graph it is a symbol
    distance = STEPS * ((2 * old + 1) * size - (2 * new + 1) * length).abs().clamp(max=2 * pixel)
    steps, left = _divide(distance, pixel)
    beyond = left / pixel
    near = distance < STEPS * pixel
    # In units of 2⁻²⁸: value, slope, half the second and a sixth of the third derivative.
    value = torch.where(
        near, (3 * steps - 2560) * steps * steps + 2**28, ((2560 - steps) * steps - 2**21) * steps + 2**29
    )
    slope = torch.where(near, (9 * steps - 5120) * steps, (5120 - 3 * steps) * steps - 2**21)
    bend = torch.where(near, 9 * steps - 2560, 2560 - 3 * steps)
    rest = beyond * (slope + beyond * (bend + beyond * torch.where(near, 3, -1)))
    weight, left = _divide(value, 64)
    return _normalize(weight, (left + rest) / 64)


def _normalize(weight: Int[Tensor, "size length"], rest: Float[Tensor, "size length"]) -> Int[Tensor, "size length"]:
    """Divide ``weight + rest`` by its sum over the last axis and round to units."""
    high, low = _divide(weight, HALF_UNIT)
    # Sums of 32-bit integers, too, are exact up to 2²⁴ only.
    high_sum, low_sum = (half.sum(dim=1, keepdim=True, dtype=torch.int32) for half in (high, low))
    total, rest_sum = high_sum * HALF_UNIT + low_sum, rest.sum(dim=1, keepdim=True)
    # The reciprocal of the sum in halves of a unit: a whole number, and what is missing to 2³³.
    whole = (UNIT / total * HALF_UNIT).round().int()
    eighth, left = _divide(total, 8)
    missing = (8.0 * (2**30 - eighth * whole) - (left + rest_sum) * whole) / (total + rest_sum)
    fine = (low * whole + weight * missing + rest * (whole + missing)) / HALF_UNIT
    return high * whole + fine.round().int()


def _divide(number: Int[Tensor, "*shape"], unit: int) -> tuple[Int[Tensor, "*shape"], Int[Tensor, "*shape"]]:
    """Number of units and what is left, negative at times; a rounded quotient only shifts between the two."""
    count = (number / unit).round().int()
    return count, number - count * unit
