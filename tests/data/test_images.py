"""Image and mask files of every kind, and files that are no images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalib_cops.data.masks import read_mask
from anomalib_cops.errors import InputError
from anomalib_cops.images.reading import check_images, read_image
from anomalib_cops.images.whole_files import looks_whole
from tests.data.conftest import picture, save, spot


def test_grey_rgba_and_palette_become_rgb_as_pillow_does(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)
    rgba = Image.fromarray(levels)
    for mode in ("L", "RGB", "RGBA", "LA", "1", "CMYK"):
        path = tmp_path / f"{mode}.tiff"
        rgba.convert(mode).save(path)
        np.testing.assert_array_equal(read_image(path), np.asarray(Image.open(path).convert("RGB")))
    np.testing.assert_array_equal(read_image(tmp_path / "RGBA.tiff"), levels[..., :3])


def test_palette_with_transparent_entries_keeps_its_colours(tmp_path: Path) -> None:
    palette = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8), mode=None)
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    palette.save(tmp_path / "palette.png", transparency=bytes([0, 128, 255, 255]))
    expected = [[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [100, 110, 120]]]
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), expected)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"deep{suffix}", np.array([[0, 257, 32768, 65535]], np.uint16))
    np.testing.assert_array_equal(read_image(path)[0, :, 0], [0, 1, 128, 255])


@pytest.mark.parametrize("size", [(1, 1), (6000, 8000)])
def test_smallest_and_large_images(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("L", size[::-1], 7).save(tmp_path / "image.png")
    levels = read_image(tmp_path / "image.png")
    assert levels.shape == (*size, 3)
    assert levels[-1, -1].tolist() == [7, 7, 7]


def test_pictures_that_pillow_would_warn_about_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "large.png", picture(1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_image(path).shape == (12, 10, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(InputError, match=r"large\.png cannot be used: it has more than"):
        read_image(path)


def bad_files(folder: Path) -> dict[str, str]:
    """Write bad files, and return the expected message by file name."""
    whole = save(folder / "whole.jpg", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    (folder / "truncated.jpg").write_bytes(whole.read_bytes()[:900])
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("not a picture")
    (folder / "folder.png").mkdir()
    Image.fromarray(np.ones((2, 2), np.float32)).save(folder / "real.tiff")
    Image.fromarray(np.full((2, 2), 70000, np.int32)).save(folder / "deep.tiff")
    broken = bytearray(save(folder / "broken.png", picture(3)).read_bytes())
    broken[45] ^= 255
    (folder / "broken.png").write_bytes(broken)
    return {
        "truncated.jpg": "damaged",
        "empty.png": "the file is empty",
        "text.png": "not an image",
        "missing.png": "no such file",
        "folder.png": "it is a folder",
        "real.tiff": "floating-point",
        "deep.tiff": "more than 16 bits",
        "broken.png": "damaged",
    }


def test_bad_files_are_named_with_the_reason(tmp_path: Path) -> None:
    for name, reason in bad_files(tmp_path).items():
        with pytest.raises(InputError, match=f"{name} cannot be used: .*{reason}") as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert caught.value.__suppress_context__


def test_check_images_names_the_first_bad_files_and_counts_all(tmp_path: Path) -> None:
    names = list(bad_files(tmp_path))
    good = tmp_path / "whole.jpg"
    check_images([good, str(good)])
    with pytest.raises(InputError, match=r"^\S*empty\.png cannot be used: the file is empty; remove or replace it\.$"):
        check_images([good, tmp_path / "empty.png"])
    with pytest.raises(InputError, match=r"8 of 9 files are bad: .*truncated.*empty.*text.* 5 more") as caught:
        check_images([good, *(tmp_path / name for name in names)])
    assert "missing.png" not in str(caught.value)


def test_mask_is_the_brightest_channel_above_127(tmp_path: Path) -> None:
    levels = np.zeros((1, 4, 3), np.uint8)
    levels[0, 1, 2], levels[0, 2, 0], levels[0, 3, 1] = 127, 128, 255
    assert read_mask(save(tmp_path / "mask.png", levels)).tolist() == [[False, False, True, True]]


def test_empty_mask_is_accepted_but_not_one_of_zeros_and_ones(tmp_path: Path) -> None:
    assert not read_mask(save(tmp_path / "empty.png", 0 * spot())).any()
    with pytest.raises(InputError, match=r"ones\.png is a mask of 0 and 1"):
        read_mask(save(tmp_path / "ones.png", spot() // 255))


def test_files_that_are_cut_or_unusual_do_not_look_whole(tmp_path: Path) -> None:
    whole = [save(tmp_path / name, spot()) for name in ("a.png", "a.jpg")]
    assert all(map(looks_whole, whole))
    for path in whole:
        path.write_bytes(path.read_bytes()[:-1])
    tiff = save(tmp_path / "a.tiff", spot())
    deep = tmp_path / "deep.png"
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(deep)
    (tmp_path / "empty.png").touch()
    doubtful = [*whole, tiff, deep, tmp_path / "empty.png", tmp_path / "missing.png", tmp_path]
    assert not any(map(looks_whole, doubtful))
