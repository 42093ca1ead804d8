"""An image and its mask, in any orientation of their files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalib_cops.data.image_and_mask import read_image_and_mask
from anomalib_cops.data.masks import read_mask
from anomalib_cops.errors import InputError
from anomalib_cops.images.reading import read_image
from tests.data.test_rereading import show, turned


def test_a_picture_is_read_upright_and_its_mask_with_it(tmp_path: Path) -> None:
    levels, mask = show(1)
    exif = Image.Exif()
    for orientation in range(1, 9):
        stored, stored_mask = (_stored(each, orientation) for each in (levels[..., 0], mask))
        exif[0x0112] = orientation
        for suffix in ("png", "webp", "tiff"):
            Image.fromarray(stored).convert("RGB").save(tmp_path / f"a.{suffix}", exif=exif, lossless=True)
            np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}"), levels)
        Image.fromarray(stored_mask).save(tmp_path / "says.png", exif=exif)
        Image.fromarray(stored_mask).save(tmp_path / "stored.png")
        Image.fromarray(mask).save(tmp_path / "shown.png")
        np.testing.assert_array_equal(read_mask(tmp_path / "says.png"), mask > 0)
        for name in ("says", "stored", "shown"):
            for suffix in ("png", "tiff"):
                if name != "says" and orientation in (2, 3, 4):
                    with pytest.raises(
                        InputError, match=rf"a\.{suffix} is stored turned \(EXIF orientation {orientation}\)"
                    ):
                        read_image_and_mask(tmp_path / f"a.{suffix}", tmp_path / f"{name}.png")
                else:
                    _, found = read_image_and_mask(tmp_path / f"a.{suffix}", tmp_path / f"{name}.png")
                    np.testing.assert_array_equal(found, mask > 0)


def test_a_square_picture_that_is_stored_turned_needs_a_mask_that_says_so(tmp_path: Path) -> None:
    square = show(1)[1][:, :40]
    turned(np.dstack([square] * 3), tmp_path / "a.png")
    Image.fromarray(square).save(tmp_path / "m.png")
    with pytest.raises(
        InputError, match=r"a\.png is stored turned \(EXIF orientation 6\), and its mask \S+m\.png may be meant"
    ):
        read_image_and_mask(tmp_path / "a.png", tmp_path / "m.png")
    turned(np.dstack([square] * 3), tmp_path / "m.png")
    np.testing.assert_array_equal(read_image_and_mask(tmp_path / "a.png", tmp_path / "m.png")[1], square > 0)
    Image.fromarray(0 * square).save(tmp_path / "m.png")
    assert not read_image_and_mask(tmp_path / "a.png", tmp_path / "m.png")[1].any()


def _stored(shown: np.ndarray, orientation: int) -> np.ndarray:
    """How a file of this orientation stores what is to be shown; Pillow's words for the way back."""
    ways = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return np.asarray(
        Image.fromarray(shown).transpose(ways[orientation]) if orientation > 1 else Image.fromarray(shown)
    )


def test_eight_bits_in_sixteen_are_not_black(tmp_path: Path) -> None:
    Image.fromarray(show(1)[0][..., 0].astype(np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="its 16 bits hold levels up to 230 only, which is black; save it with 8 bits"):
        read_image(tmp_path / "a.png")
