"""Test how large images are cut into tiles and how their maps are blended."""

import numpy as np
import pytest

from anomalib_cops.errors import InputError
from anomalib_cops.tiles import Tiling, parse_tiles, score_in_tiles

SIDE = 32


def covered(height: int, width: int, text: str) -> np.ndarray:
    count = np.zeros((height, width), int)
    for box in Tiling(text).boxes(height, width, SIDE):
        box.of(count)[...] += 1
    return count


@pytest.mark.parametrize("text", ["auto", "3x4", "1x2", "40", "40/0", "40/20", "7"])
@pytest.mark.parametrize("size", [(100, 130), (33, 500), (97, 61)])
def test_tiles_cover_the_image_and_are_of_one_size(text: str, size: tuple[int, int]) -> None:
    boxes = Tiling(text).boxes(*size, SIDE)
    assert len({(box.height, box.width) for box in boxes}) == 1
    assert all(box.top + box.height <= size[0] and box.left + box.width <= size[1] for box in boxes)
    assert covered(*size, text).min() >= 1


def test_a_grid_and_a_size_are_what_was_asked_for() -> None:
    assert len(Tiling("3x4").boxes(100, 130, SIDE)) == 12
    boxes = Tiling("40/10").boxes(100, 70, SIDE)
    assert [(box.top, box.left) for box in boxes] == [(0, 0), (0, 30), (30, 0), (30, 30), (60, 0), (60, 30)]
    assert {(box.height, box.width) for box in boxes} == {(40, 40)}


def test_auto_cuts_large_images_at_full_resolution_and_leaves_small_ones_whole() -> None:
    assert Tiling("auto").boxes(48, 48, SIDE) == []
    assert {(box.height, box.width) for box in Tiling("auto").boxes(100, 130, SIDE)} == {(SIDE, SIDE)}
    assert Tiling("200").boxes(100, 130, SIDE) == [], "one tile would be the whole image again"


@pytest.mark.parametrize("given", [None, "", "none", "None"])
def test_no_tiles(given: str | None) -> None:
    assert parse_tiles(given) is None


@pytest.mark.parametrize("given", ["0", 0, "-5", "3x", "0x3", "3x0", "large", "64/33", "3x4x5", "1.5"])
def test_other_texts_are_refused(given: str | int) -> None:
    with pytest.raises(InputError, match="tiles="):
        parse_tiles(given)


def test_too_many_tiles_are_refused() -> None:
    with pytest.raises(InputError, match="into 108,000 tiles, more than 20,000; give larger or fewer"):
        Tiling("10/0").boxes(3000, 3600, SIDE)


def score(image: np.ndarray, text: str = "40/10", batch_size: int = 4, sizes: list[int] | None = None) -> tuple:
    """Score with a model whose map is the first channel, at half the size, and whose score is its maximum."""

    def run(crops: list[np.ndarray]) -> tuple:
        if sizes is not None:
            sizes.append(len(crops))
        return [float(crop[0].max()) for crop in crops], [crop[0][::2, ::2] for crop in crops]

    boxes = Tiling(text).boxes(*image.shape[1:], SIDE)
    return score_in_tiles(image, boxes, lambda crops: ([0.1], [crops[0][0]]), run, batch_size)


@pytest.mark.parametrize("text", ["auto", "3x4", "40/0", "40/20"])
def test_a_constant_image_shows_no_seam(text: str) -> None:
    found, blended = score(np.full((3, 100, 130), 0.25, np.float32), text)
    assert found == 0.25 and blended.shape == (100, 130) and blended.dtype == np.float32
    np.testing.assert_allclose(blended, 0.25, atol=1e-6)


def test_a_slope_stays_a_slope_across_the_tiles() -> None:
    image = np.broadcast_to(np.linspace(0, 1, 130, dtype=np.float32), (3, 100, 130))
    _, blended = score(image)
    steps = np.diff(blended, axis=1)
    assert steps.min() >= 0 and steps.max() < 4 / 130


def test_a_defect_is_found_wherever_it_lies_between_the_tiles() -> None:
    peaks = []
    for left in range(20, 60):
        image = np.zeros((3, 100, 130), np.float32)
        image[:, 40:48, left : left + 8] = 1
        found, blended = score(image)
        assert found == 1
        row, column = np.unravel_index(blended.argmax(), blended.shape)
        assert 40 <= row < 48 and left <= column < left + 8
        peaks.append(blended.max())
    assert min(peaks) > 0.9


def test_the_score_is_the_largest_of_whole_and_tiles() -> None:
    assert score(np.zeros((3, 100, 130), np.float32))[0] == pytest.approx(0.1), "that of the whole"


def test_no_more_tiles_than_a_batch_are_in_use_at_a_time() -> None:
    sizes: list[int] = []
    score(np.zeros((3, 100, 130), np.float32), batch_size=5, sizes=sizes)
    assert max(sizes) == 5 and sum(sizes) == len(Tiling("40/10").boxes(100, 130, SIDE))
