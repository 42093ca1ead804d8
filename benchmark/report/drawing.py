"""Draw maps and masks over photographs, as addresses that a page can hold."""

import base64
import io

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from PIL import Image

_HEAT_SHARE = 0.65
_QUALITY = 70

Picture = Float[np.ndarray, "height width 3"]
"""RGB levels in [0, 1]."""


def decoded(text: str) -> Picture:
    """Decode a picture in base64."""
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("RGB")).astype(np.float32) / 255


def heat_map(photo: Picture, anomaly_map: Picture) -> str:
    """Draw a map as heat over the photograph in grey."""
    heat = colormaps["inferno"](anomaly_map[..., 0])[..., :3]
    grey = photo.mean(axis=2, keepdims=True)
    return _encoded((1 - _HEAT_SHARE) * grey + _HEAT_SHARE * heat)


def tinted(photo: Picture, truth: Picture) -> str:
    """Tint the anomalous pixels of a photograph red."""
    mask = truth[..., :1] > 0.5
    return _encoded(np.where(mask, 0.35 * photo + 0.65 * np.array([1.0, 0.1, 0.1]), photo))


def data_address(text: str) -> str:
    """Return the data URL of a WebP picture in base64."""
    return f"data:image/webp;base64,{text}"


def _encoded(levels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray((levels.clip(0, 1) * 255).round().astype(np.uint8)).save(buffer, "webp", quality=_QUALITY)
    return data_address(base64.b64encode(buffer.getvalue()).decode())
