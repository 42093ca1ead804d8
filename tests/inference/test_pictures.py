"""Test that a picture in memory gives the same levels as its file, whatever holds it."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import to_dtype, to_image

from anomalib_cops.errors import InputError
from anomalib_cops.images.reading import read_image
from anomalib_cops.images.resizing import resize_planes
from anomalib_cops.inference.pictures import UNIT, Picture, read_picture, to_picture

RGB = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
GREY_16 = np.random.default_rng(1).integers(300, 65536, (9, 7), dtype=np.uint16)


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA", "P", "CMYK", "I;16"])
def test_files_pillow_images_and_arrays_agree(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(GREY_16) if mode == "I;16" else Image.fromarray(RGB).convert(mode)
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    image.save(path)
    expected = read_image(path)
    np.testing.assert_array_equal(to_picture(path).levels, expected)
    np.testing.assert_array_equal(to_picture(str(path)).levels, expected)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(to_picture(opened).levels, expected)
        if mode not in ("P", "CMYK"):
            np.testing.assert_array_equal(to_picture(np.asarray(opened)).levels, expected)


def test_tensors_and_fractions_agree_with_bytes() -> None:
    planes = torch.from_numpy(RGB).permute(2, 0, 1)
    np.testing.assert_array_equal(to_picture(planes).levels, RGB)
    for fractions in (planes / 255, (planes / 255).numpy().transpose(1, 2, 0), (planes / 255).double()):
        np.testing.assert_allclose(to_picture(fractions).planes, to_picture(RGB).planes, atol=1e-6)
    coarse = to_picture((planes / 255).bfloat16()).planes  # which NumPy does not have
    np.testing.assert_allclose(coarse, to_picture(RGB).planes, atol=1 / 256)
    assert to_picture(RGB).planes.max() <= 1 and to_picture(RGB).size == (7, 9)


@pytest.mark.parametrize(
    "levels", [RGB, GREY_16, (RGB / 255).astype(np.float32)], ids=["bytes", "16 bits", "fractions"]
)
def test_byte_order_and_strides_do_not_matter(levels: np.ndarray) -> None:
    expected = to_picture(levels).levels
    swapped = levels.astype(levels.dtype.newbyteorder(">"))
    frozen = levels.copy()
    frozen.flags.writeable = False
    for same in (swapped, np.asfortranarray(levels), levels[::-1].copy()[::-1], frozen):
        np.testing.assert_array_equal(to_picture(same).levels, expected)


def test_bytes_become_the_fractions_of_torchvision() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    expected = to_dtype(to_image(levels), torch.float32, scale=True)
    assert torch.equal(torch.from_numpy(to_picture(levels).planes), expected)
    # What is resized was always divided, and stays so to the last bit.
    divided = torch.from_numpy(levels).permute(2, 0, 1) / 255
    assert torch.equal(torch.from_numpy(resize_planes(expected.numpy(), (16, 16))), divided)


def test_a_picture_is_shown_the_right_way_up(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "turned.png", exif=exif)
    expected = np.rot90(RGB, -1)
    np.testing.assert_array_equal(to_picture(tmp_path / "turned.png").levels, expected)
    with Image.open(tmp_path / "turned.png") as opened:
        np.testing.assert_array_equal(to_picture(opened).levels, expected)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((4, 4, 3), np.nan), "NaN"),
        (np.full((4, 4, 3), 200.0), "divide 8-bit levels by 255"),
        (np.zeros((4, 4, 3), np.int64), "uint8"),
        (np.full((4, 4), 200, np.uint16), "black"),
        (np.zeros((3, 40, 50), np.uint8), "height, width, channels"),
        (torch.zeros(40, 50, 3), "channels, height, width"),
        (torch.zeros(2, 3, 40, 50), "list"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (17, "int is no image"),
        (BytesIO(), "BytesIO is no image"),
        (Image.new("RGB", (0, 5)), "0 x 5 has no pixels"),
        (torch.zeros(3, 4, 4).to_sparse(), "give a dense tensor"),
        (torch.zeros(3, 4, 4, device="meta"), "on meta"),
    ],
)
def test_what_is_no_image_is_refused_in_a_sentence(image: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_picture(image)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(InputError, match=r"empty\.png cannot be used: the file is empty"):
        to_picture(tmp_path / "empty.png")
    with (
        (tmp_path / "empty.png").open("rb") as file,
        pytest.raises(InputError, match="part 7 cannot be used: the file"),
    ):
        read_picture(file, "part 7")
    with pytest.raises(InputError, match="no such file"):
        to_picture("missing.png")


def test_the_limit_of_pixels_can_be_lowered_and_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(RGB).save(tmp_path / "x.png")
    with pytest.raises(InputError, match="more than 50 pixels, .*raise it by max_pixels"):
        read_picture(tmp_path / "x.png", max_pixels=50)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(InputError, match="more than 40 pixels"):
        read_picture(tmp_path / "x.png")
    assert read_picture(tmp_path / "x.png", max_pixels=63).size == (7, 9)
    assert Image.MAX_IMAGE_PIXELS == 20


@pytest.mark.parametrize("shape", [(97, 131), (31, 200), (42, 42), (20, 24)])
def test_a_picture_resized_before_gives_the_same_planes(shape: tuple[int, int]) -> None:
    size = (42, 42)
    picture = Picture(np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8), "x")
    expected = picture.planes if shape == size else resize_planes(picture.planes, size)
    for keeps_levels in (True, False):
        found = picture.resized_to(size, keeps_levels)
        assert np.array_equal(found.planes, expected)
        assert (found.size, found.name) == (picture.size, "x")
        assert found.levels.shape == ((*shape, 3) if keeps_levels else (*size, 3))
    fractions = Picture(picture.levels * UNIT)
    assert fractions.resized_to(size) is fractions
