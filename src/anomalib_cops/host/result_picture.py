"""Picture of one result: the image with its own aspect ratio, the predictions on it, and a line with the score."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from anomalib.data.dataclasses import ImageItem, NumpyImageItem
from anomalib.visualization import ImageVisualizer, visualize_image_item
from PIL import Image, ImageFont
from torchvision.transforms.v2.functional import to_image

from anomalib_cops.data.synthetic.addresses import draw_address, is_address
from anomalib_cops.errors import InputError
from anomalib_cops.images.drawing import add_heading, fit
from anomalib_cops.images.reading import read_image
from anomalib_cops.thresholds import LabelThreshold, decision


def result_picture(
    item: ImageItem | NumpyImageItem,
    settings: ImageVisualizer,
    heading: str | None = None,
    shown: Image.Image | None = None,
) -> Image.Image | None:
    """Draw what ``ImageVisualizer`` draws of an image, with the image's own aspect ratio.

    Args:
        item: Image and predictions, on the CPU.
        settings: Visualizer that says what to draw. Every field is made to fit its ``field_size`` (width, height).
        heading: Line of text above the picture.
        shown: What :func:`shown_image` made of the image; by default it is read again.

    Returns:
        The picture; None if the item has none of the fields.

    Raises:
        InputError: The image is a synthetic picture that cannot be drawn.
    """
    image = shown_image(_image_of(item), settings.field_size) if shown is None else shown
    size = image.size
    levels = np.array(image)
    # Give the image in memory, because anomalib's own reader clips 16 bits and cannot draw synthetic pictures. Resize
    # the maps here, because anomalib would do so after it has turned them into three channels.
    adapted = replace(
        item,
        image_path=None,
        image=to_image(levels) if isinstance(item, ImageItem) else levels,
        anomaly_map=_resized(item.anomaly_map, size, cv2.INTER_LINEAR),
        **{name: _resized(getattr(item, name), size, cv2.INTER_NEAREST) for name in ("pred_mask", "gt_mask")},
    )
    picture = visualize_image_item(
        adapted,
        fields=settings.fields,
        overlay_fields=settings.overlay_fields,
        field_size=size,
        fields_config=settings.fields_config,
        overlay_fields_config=settings.overlay_fields_config,
        text_config=settings.text_config,
    )
    if picture is None or heading is None or not settings.text_config.get("enable", True):
        return picture
    size_of_text, font = settings.text_config["size"] or 20, settings.text_config["font"]
    loaded = ImageFont.truetype(font, size_of_text) if font else ImageFont.load_default(size=size_of_text)
    return add_heading(picture, heading, loaded, settings.text_config["color"])


def shown_image(image: Image.Image, field_size: tuple[int, int]) -> Image.Image:
    """Return an image at the size at which pictures show it.

    Args:
        image: The image at its own size.
        field_size: Width and height that it is made to fit.
    """
    return image.resize(fit(image.size, field_size), Image.Resampling.BICUBIC, reducing_gap=3)


def describe(item: ImageItem, threshold: LabelThreshold | None) -> str | None:
    """Return score, threshold and label in words; None for an item without a score."""
    if item.pred_score is None:
        return None
    label = None if item.pred_label is None else bool(item.pred_label)
    return decision(float(item.pred_score), label, threshold)


def _image_of(item: ImageItem | NumpyImageItem) -> Image.Image:
    """Return the image from its file or address; without a readable file, the image that the model saw."""
    path = item.image_path
    if path is not None and is_address(path):
        return Image.fromarray(draw_address(path)[0])
    if path is not None and Path(path).is_file():
        try:
            return Image.fromarray(read_image(path))
        except InputError:  # the data set may have a reader of its own for this file
            pass
    levels = np.asarray(item.image, np.float32)
    return Image.fromarray(_stretched(levels.transpose(1, 2, 0) if isinstance(item, ImageItem) else levels))


def _stretched(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Convert levels in [0, 1] to bytes; stretch those of a normalised image from the darkest to the brightest."""
    low, high = min(0.0, float(image.min())), float(image.max())
    if low < 0 or high > 1:
        image = (image - low) / max(high - low, 1e-6)
    levels = (image * 255).round().astype(np.uint8)
    return np.repeat(levels, 3, axis=2) if levels.shape[2] == 1 else levels


def _resized(plane: Any, size: tuple[int, int], how: int) -> Any:
    """Resize a map or mask of shape (height, width) or (1, height, width) to (width, height); keep its type."""
    if plane is None:
        return None
    levels = np.asarray(plane).squeeze()
    stored: Any = levels.astype(np.uint8 if levels.dtype == np.bool_ else np.float32)
    resized = cv2.resize(stored, size, interpolation=how).astype(levels.dtype)
    return torch.from_numpy(resized) if isinstance(plane, torch.Tensor) else resized
