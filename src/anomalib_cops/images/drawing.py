"""Parts of result pictures that all ways to draw them share."""

from typing import Any

from PIL import Image, ImageDraw

_HEADING_COLOR = (40, 40, 40)
_PADDING = 6


def fit(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """Return the largest width and height of the same ratio that fit into a box."""
    scale = min(box[0] / size[0], box[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def add_heading(picture: Image.Image, text: str, font: Any, color: Any = "white") -> Image.Image:
    """Write a line above a picture, and widen the picture if the line is longer.

    Args:
        picture: the picture.
        text: the line.
        font: Pillow's font.
        color: of the text.
    """
    _, _, right, bottom = font.getbbox(text)
    height = int(bottom) + 2 * _PADDING
    canvas = Image.new("RGB", (max(picture.width, int(right) + 2 * _PADDING), picture.height + height), _HEADING_COLOR)
    canvas.paste(picture, (0, height))
    ImageDraw.Draw(canvas).text((_PADDING, _PADDING), text, font=font, fill=color)
    return canvas
