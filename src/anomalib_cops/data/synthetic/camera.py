"""Camera of the synthetic pictures: light, colour, focus and noise, none of which is ever anomalous."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anomalib_cops.data.synthetic.canvas import Array, Rng, blur, grid, noise


@dataclass(frozen=True)
class Camera:
    """Settings of one exposure: two scenes taken with the same camera differ only where the scenes differ.

    Attributes:
        light: Factor of brightness and colour of every pixel, shape (size, size, 3).
        dust: Faint marks that any picture may have, shape (size, size).
        grain: Sensor noise, shape (size, size, 3).
        focus: Blur as a fraction of the picture side.
        monochrome: Whether the picture is grey.
    """

    light: Array
    dust: Array
    grain: Array
    focus: float
    monochrome: bool

    @classmethod
    def random(cls, rng: Rng, size: int) -> "Camera":
        """Draw the settings of one exposure at random."""
        x, y = grid(size)
        slope = rng.normal(0, 0.12, 2).astype(np.float32)
        vignette = np.float32(rng.uniform(0, 0.35) if rng.random() < 0.5 else 0.0)
        radius = (x - 0.5) ** 2 + (y - 0.5) ** 2
        shade = 1 + slope[0] * (x - 0.5) + slope[1] * (y - 0.5) - vignette * radius
        gains = (rng.uniform(0.8, 1.12) * rng.uniform(0.95, 1.05, 3)).astype(np.float32)
        wear = np.float32(rng.uniform(0.0, 0.015)) * noise(rng, size, 9, 3)
        level = rng.uniform(0.002, 0.022)
        shared = noise(rng, size, size)
        grain = shared[..., None] * 0.8 + 0.6 * rng.standard_normal((size, size, 3), dtype=np.float32)
        focus = rng.uniform(0.0, 0.0065) if rng.random() < 0.7 else 0.0
        return cls(
            light=np.asarray(shade[..., None] * gains, np.float32),
            dust=wear,
            grain=np.asarray(grain * np.float32(level), np.float32),
            focus=float(focus),
            monochrome=bool(rng.random() < 0.15),
        )

    def take(self, image: Array) -> npt.NDArray[np.uint8]:
        """Take a picture of a scene.

        Args:
            image: Colours in [0, 1], shape (size, size, 3).

        Returns:
            8-bit levels of the same shape.
        """
        seen = blur(image, self.focus) * (self.light * (1 + self.dust)[..., None])
        if self.monochrome:
            seen = np.repeat(seen @ np.array([[0.3], [0.59], [0.11]], np.float32), 3, axis=2)
            return np.clip((seen + self.grain[..., :1]) * 255 + 0.5, 0, 255).astype(np.uint8)
        return np.clip((seen + self.grain) * 255 + 0.5, 0, 255).astype(np.uint8)
