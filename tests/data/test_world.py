"""The synthetic world as a data set."""

import numpy as np
import pytest

from anomalib_cops.data import synthetic
from anomalib_cops.data.world import SyntheticSet, draw_address, is_drawn
from anomalib_cops.errors import InputError


def test_half_is_good_all_defects_occur_and_no_picture_is_used_twice() -> None:
    samples = SyntheticSet(count=41, size=64, seed=3).samples("leather")
    assert (samples["label_index"] == 0).sum() == 21
    assert set(samples["label"]) == {"good", *synthetic.defects_of("leather")}
    numbers = samples["image_path"].str.extract(r"/(\d+)\.png")[0]
    assert numbers.is_unique
    assert samples["masked"].all()


def test_addresses_say_what_is_drawn() -> None:
    samples = SyntheticSet(count=10, size=48, seed=3).samples("gear")
    for row in samples.itertuples():
        assert is_drawn(str(row.image_path))
        image, mask = draw_address(str(row.image_path))
        assert image.shape == (48, 48, 3)
        assert mask.any() == bool(row.label_index)
    last = samples["image_path"].iloc[-1]
    defect = samples["label"].iloc[-1]
    drawn = synthetic.draw("gear", 9, seed=3, anomalous=True, size=48, defect=defect)
    np.testing.assert_array_equal(draw_address(last)[0], drawn.image)


@pytest.mark.parametrize("path", ["synthetic/48px-seed3/gear/good/a.png", "/data/synthetic/gear/good/000000.png"])
def test_files_are_no_addresses(path: str) -> None:
    assert not is_drawn(path)
    with pytest.raises(InputError, match="is not the address of a synthetic picture"):
        draw_address(path)


def test_level_is_part_of_the_address() -> None:
    last = SyntheticSet(count=4, size=64, seed=3, level="easy").samples("gear").iloc[-1]
    image, mask = draw_address(str(last.image_path))
    drawn = synthetic.draw("gear", 3, seed=3, anomalous=True, size=64, defect=last.label, level="easy")
    np.testing.assert_array_equal(image, drawn.image)
    assert is_drawn(str(last.image_path))
    with pytest.raises(InputError, match="unknown level 'esy' .*'easy'"):
        SyntheticSet(count=4, size=64, seed=3, level="esy")


def test_too_few_pictures() -> None:
    with pytest.raises(InputError, match="synthetic_samples=3 is too few"):
        SyntheticSet(count=3, size=64, seed=0)
