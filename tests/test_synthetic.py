"""Test the synthetic set: reproducible pictures, pairs that differ only in the defect, exact masks."""

import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from anomalib_cops.data import synthetic
from anomalib_cops.data.synthetic import (
    CATEGORIES,
    DEFECTS,
    LEVELS,
    LOOK_CATEGORIES,
    WORLDS,
    Sample,
    defects_of,
    draw,
    prominence,
)
from anomalib_cops.data.synthetic.confusable import FOREIGN_LOOKS, OWN_LOOK
from anomalib_cops.errors import InputError

EVERY_KIND = [(category, defect) for names in WORLDS.values() for category in names for defect in defects_of(category)]


def pair(category: str, index: int, size: int = 96, defect: str | None = None, seed: int = 0) -> tuple[Sample, Sample]:
    good = draw(category, index, seed=seed, anomalous=False, size=size)
    return good, draw(category, index, seed=seed, anomalous=True, size=size, defect=defect)


def test_world_is_large_enough() -> None:
    assert len(set(CATEGORIES)) >= 12
    assert len(set(DEFECTS)) >= 8
    assert {defect for category, defect in EVERY_KIND if category in CATEGORIES} == set(DEFECTS)
    assert all(len(set(defects_of(category))) >= 4 for category in CATEGORIES)


def test_what_is_normal_on_one_surface_is_a_defect_of_others() -> None:
    assert len(LOOK_CATEGORIES) >= 16 and not set(LOOK_CATEGORIES) & set(CATEGORIES)
    looks = set(OWN_LOOK.values())
    assert len(looks) >= 8
    for look in looks:
        assert list(OWN_LOOK.values()).count(look) >= 2
        assert sum(look in foreign for foreign in FOREIGN_LOOKS.values()) >= 4
    assert all(OWN_LOOK[name] not in FOREIGN_LOOKS[name] for name in LOOK_CATEGORIES)
    trained, tested = LOOK_CATEGORIES[::2], LOOK_CATEGORIES[1::2]
    assert {OWN_LOOK[name] for name in trained} == {OWN_LOOK[name] for name in tested} == looks
    pairings = [{(OWN_LOOK[name], look) for name in side for look in defects_of(name)} for side in (trained, tested)]
    assert pairings[1] - pairings[0], "the test has no pairing of looks that the training has not"


@pytest.mark.parametrize("category", CATEGORIES)
def test_same_arguments_same_pixels_in_any_order(category: str) -> None:
    first = [draw(category, index, seed=3, anomalous=True, size=48) for index in range(3)]
    with ThreadPoolExecutor(3) as threads:
        again = list(threads.map(lambda i: draw(category, i, seed=3, anomalous=True, size=48), reversed(range(3))))[
            ::-1
        ]
    for a, b in zip(first, again, strict=True):
        assert a.defect == b.defect
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.mask, b.mask)


def test_same_pixels_in_another_process_without_torch() -> None:
    # The package around it may import torch; drawing itself must not need it.
    code = f"""
import sys, types, zlib
import anomalib_cops
sys.modules["anomalib_cops.data"] = types.ModuleType("anomalib_cops.data")
sys.modules["anomalib_cops.data"].__path__ = [{str(Path(synthetic.__file__).parents[1])!r}]
from anomalib_cops.data.synthetic import draw
print(zlib.crc32(draw("gear", 5, seed=2, anomalous=True, size=64).image.tobytes()), "torch" in sys.modules)
"""
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path)), "PYTHONHASHSEED": "7"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    here = zlib.crc32(draw("gear", 5, seed=2, anomalous=True, size=64).image.tobytes())
    assert run.stdout.split() == [str(here), "False"]


def test_seed_index_and_category_each_change_the_picture() -> None:
    base = draw("wood", 0, seed=0, anomalous=False, size=48).image
    for other in (
        draw("wood", 1, seed=0, anomalous=False, size=48),
        draw("wood", 0, seed=1, anomalous=False, size=48),
        draw("leather", 0, seed=0, anomalous=False, size=48),
    ):
        assert np.abs(base.astype(int) - other.image).mean() > 4


@pytest.mark.parametrize(("category", "defect"), EVERY_KIND)
def test_pair_differs_exactly_in_the_mask(category: str, defect: str) -> None:
    for index in range(2):
        good, bad = pair(category, index, defect=defect)
        assert (good.category, good.defect, bad.defect) == (category, "good", defect)
        assert good.image.shape == bad.image.shape == (96, 96, 3)
        assert good.image.dtype == np.uint8
        assert bad.mask.dtype == np.bool_
        assert not good.mask.any()
        change = np.abs(good.image.astype(int) - bad.image).max(axis=2)
        assert np.array_equal(change > 0, bad.mask)
        assert change[bad.mask].mean() > 9, "the defect cannot be seen"
        assert 4 <= bad.mask.sum() < 0.6 * bad.mask.size


@pytest.mark.parametrize("size", [32, 57, 200])
def test_defects_scale_with_the_picture(size: int) -> None:
    shares = []
    for category in CATEGORIES:
        sample = draw(category, 4, anomalous=True, size=size)
        assert sample.image.shape == (size, size, 3)
        shares.append(sample.mask.mean())
    assert 0.01 < np.mean(shares) < 0.15


def test_same_scene_at_two_sizes() -> None:
    for category in ("gear", "ceramic_tile", "wood", "connector"):
        small = draw(category, 1, anomalous=False, size=64).image
        large = cv2.resize(draw(category, 1, anomalous=False, size=128).image, (64, 64), interpolation=cv2.INTER_AREA)
        correlation = np.corrcoef(small.ravel().astype(float), large.ravel().astype(float))[0, 1]
        assert correlation > 0.8, category


@pytest.mark.parametrize("defect", ["stain", "scratch", "crack", "discoloration", "broken_edge"])
def test_defect_keeps_to_the_product(defect: str) -> None:
    border = np.ones((128, 128), bool)
    border[4:-4, 4:-4] = False
    for index in range(6):
        assert not draw("gear", index, anomalous=True, size=128, defect=defect).mask[border].any()


def test_prominence_counts_the_least_visible_change() -> None:
    flat = np.full((40, 40, 3), 100, np.uint8)
    assert prominence(flat, flat) == 0
    assert prominence(flat, flat + np.uint8(9)) == pytest.approx(1.0, abs=1e-3)
    quarter = flat.copy()
    quarter[:20, :20] += 18
    assert prominence(flat, quarter) == pytest.approx(1.0, abs=1e-3), "twice the change on a quarter counts the same"


@pytest.mark.parametrize("category", CATEGORIES)
def test_levels_differ_in_how_much_defects_stand_out(category: str) -> None:
    flawless = [draw(category, index, anomalous=False, size=80).image for index in range(6)]
    seen = {}
    for level in ("easy", "medium", "hard"):
        drawn = [draw(category, index, anomalous=True, size=80, level=level) for index in range(6)]
        for good, bad in zip(flawless, drawn, strict=True):
            assert np.array_equal(good[~bad.mask], bad.image[~bad.mask]), "the level changes the product"
        seen[level] = np.median([prominence(good, bad.image) for good, bad in zip(flawless, drawn, strict=True)])
    # Not every product can show every kind of defect at every level; most can.
    assert LEVELS["easy"].least * 0.8 < seen["easy"]
    assert LEVELS["medium"].least * 0.8 < seen["medium"] < LEVELS["medium"].most * 1.1
    assert seen["hard"] < LEVELS["hard"].most * 1.2


def test_unknown_category_names_the_nearest() -> None:
    with pytest.raises(InputError, match="'botle_cap'.*bottle_cap"):
        draw("botle_cap", 0, anomalous=False)
    with pytest.raises(InputError, match="'lether'.*leather"):
        defects_of("lether")


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match="unknown level 'hrd' .*'hard'"):
        draw("carpet", 0, anomalous=True, level="hrd")
    with pytest.raises(InputError, match="'misprint'"):
        draw("carpet", 0, anomalous=True, defect="misprint")
    with pytest.raises(InputError, match="31"):
        draw("carpet", 0, anomalous=True, size=31)
    with pytest.raises(InputError, match="-1"):
        draw("carpet", -1, anomalous=True)
