"""One picture of a result: the image in its own shape, what was found on it, and the score in words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from anomalib.data.dataclasses import ImageItem, NumpyImageItem
from anomalib.visualization import ImageVisualizer, visualize_image_item
from PIL import Image, ImageDraw, ImageFont
from torchvision.transforms.v2.functional import to_image

from anomalib_cops.data.images import read_image
from anomalib_cops.data.synthetic.addresses import draw_address, is_address
from anomalib_cops.errors import InputError
from anomalib_cops.host.label_threshold import LabelThreshold

_HEAD_COLOR = (40, 40, 40)
_PADDING = 6


def result_picture(
    item: ImageItem | NumpyImageItem, settings: ImageVisualizer, head: str | None = None
) -> Image.Image | None:
    """Draws what ``ImageVisualizer`` draws of an image, at the image's own aspect ratio.

    Args:
        item: Image and predictions, on the CPU.
        settings: What to draw. Every field is made to fit into its ``field_size`` (width, height).
        head: A line to write above it.

    Returns:
        The picture; none where the item has none of the fields.

    Raises:
        InputError: The image is a synthetic picture that cannot be drawn.
    """
    image = _image_of(item)
    size = _fit(image.size, settings.field_size)
    levels = np.array(image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3))
    # Given in memory, as anomalib's own reading of files clips 16 bits and knows nothing of synthetic pictures; maps
    # are resized here, as anomalib does it after it has made three channels of them.
    shown = replace(
        item,
        image_path=None,
        image=to_image(levels) if isinstance(item, ImageItem) else levels,
        anomaly_map=_resized(item.anomaly_map, size, cv2.INTER_LINEAR),
        **{name: _resized(getattr(item, name), size, cv2.INTER_NEAREST) for name in ("pred_mask", "gt_mask")},
    )
    picture = visualize_image_item(
        shown,
        fields=settings.fields,
        overlay_fields=settings.overlay_fields,
        field_size=size,
        fields_config=settings.fields_config,
        overlay_fields_config=settings.overlay_fields_config,
        text_config=settings.text_config,
    )
    if picture is None or head is None or not settings.text_config.get("enable", True):
        return picture
    return _with_head(picture, head, settings.text_config)


def describe(item: ImageItem, threshold: LabelThreshold | None) -> str | None:
    """Score, threshold and label in words; nothing for an item without a score."""
    if item.pred_score is None:
        return None
    words = f"score {float(item.pred_score):.3f}"
    if threshold is None or item.pred_label is None:
        return words
    return f"{words}, threshold {threshold}: {'anomalous' if bool(item.pred_label) else 'normal'}"


def _image_of(item: ImageItem | NumpyImageItem) -> Image.Image:
    """The image as it lies on the disk or is drawn; where it is no file, what the model saw of it."""
    path = item.image_path
    if path is not None and is_address(path):
        return Image.fromarray(draw_address(path)[0])
    if path is not None and Path(path).is_file():
        try:
            return Image.fromarray(read_image(path))
        except InputError:  # a file of a data set with a reader of its own
            pass
    levels = np.asarray(item.image, np.float32)
    return Image.fromarray(_stretched(levels.transpose(1, 2, 0) if isinstance(item, ImageItem) else levels))


def _stretched(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Levels in [0, 1] as bytes; those of a normalised image are stretched from the darkest to the brightest."""
    low, high = min(0.0, float(image.min())), float(image.max())
    if low < 0 or high > 1:
        image = (image - low) / max(high - low, 1e-6)
    levels = (image * 255).round().astype(np.uint8)
    return np.repeat(levels, 3, axis=2) if levels.shape[2] == 1 else levels


def _resized(plane: Any, size: tuple[int, int], how: int) -> Any:
    """A map or mask of shape (height, width) or (1, height, width) in another size, of the type that it had."""
    if plane is None:
        return None
    levels = np.asarray(plane).squeeze()
    stored: Any = levels.astype(np.uint8 if levels.dtype == np.bool_ else np.float32)
    resized = cv2.resize(stored, size, interpolation=how).astype(levels.dtype)
    return torch.from_numpy(resized) if isinstance(plane, torch.Tensor) else resized


def _fit(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The largest width and height of the same ratio that fit into a box."""
    scale = min(box[0] / size[0], box[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _with_head(picture: Image.Image, text: str, config: dict[str, Any]) -> Image.Image:
    """Puts a line above the picture, which is widened where the line is longer."""
    size, font = config["size"] or 20, config["font"]
    loaded = ImageFont.truetype(font, size) if font else ImageFont.load_default(size=size)
    left, top, right, bottom = loaded.getbbox(text)
    height = int(bottom) + 2 * _PADDING
    canvas = Image.new("RGB", (max(picture.width, int(right) + 2 * _PADDING), picture.height + height), _HEAD_COLOR)
    canvas.paste(picture, (0, height))
    ImageDraw.Draw(canvas).text((_PADDING, _PADDING), text, font=loaded, fill=config["color"])
    return canvas
