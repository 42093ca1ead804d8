"""The synthetic data set and the addresses of its pictures."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalib_cops.data import LabelledImages, synthetic
from anomalib_cops.data.sets.synthetic_set import SyntheticSet
from anomalib_cops.data.synthetic.addresses import address_of, draw_address, is_address, write_picture
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
        assert is_address(str(row.image_path))
        image, mask = draw_address(str(row.image_path))
        assert image.shape == (48, 48, 3)
        assert mask.any() == bool(row.label_index)
    last = samples["image_path"].iloc[-1]
    defect = samples["label"].iloc[-1]
    drawn = synthetic.draw("gear", 9, seed=3, anomalous=True, size=48, defect=defect)
    np.testing.assert_array_equal(draw_address(last)[0], drawn.image)


@pytest.mark.parametrize("path", ["synthetic/48px-seed3/gear/good/a.png", "/data/synthetic/gear/good/000000.png"])
def test_files_are_no_addresses(path: str) -> None:
    assert not is_address(path)
    with pytest.raises(InputError, match="is not the address of a synthetic picture"):
        draw_address(path)


def test_level_is_part_of_the_address() -> None:
    last = SyntheticSet(count=4, size=64, seed=3, level="easy").samples("gear").iloc[-1]
    image, mask = draw_address(str(last.image_path))
    drawn = synthetic.draw("gear", 3, seed=3, anomalous=True, size=64, defect=last.label, level="easy")
    np.testing.assert_array_equal(image, drawn.image)
    assert is_address(str(last.image_path))
    with pytest.raises(InputError, match="unknown level 'esy' .*'easy'"):
        SyntheticSet(count=4, size=64, seed=3, level="esy")


def test_too_few_pictures() -> None:
    with pytest.raises(InputError, match="synthetic_samples=3 is too few"):
        SyntheticSet(count=3, size=64, seed=0)


ADDRESS = "synthetic/48px-seed3/gear/good/000000.png"


def test_a_picture_as_a_file_is_equal_and_leads_back_to_its_address() -> None:
    levels, _ = draw_address(ADDRESS)
    path = write_picture(ADDRESS, levels, "home")
    assert Path(path).parts[-6:] == ("home", *Path(ADDRESS).parts)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), levels)
    assert address_of(path) == ADDRESS
    assert not is_address(path)
    before = Path(path).stat().st_mtime_ns
    assert write_picture(ADDRESS, levels, "home") == path
    assert Path(path).stat().st_mtime_ns == before
    # A picture drawn otherwise, as by another version of this package, is another file.
    assert write_picture(ADDRESS, levels + 1, "home") != path


@pytest.mark.parametrize("path", [ADDRESS, f"/data/{ADDRESS}", "/data/gear/000000.png", "x.png"])
def test_other_paths_lead_to_themselves(path: str) -> None:
    assert address_of(path) == path


def test_where_the_cache_cannot_be_written_pictures_are_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels, _ = draw_address(ADDRESS)
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("TORCH_HOME", str(file))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert Path(write_picture(ADDRESS, levels, "home")).is_relative_to(tmp_path / "anomalib_cops")
    monkeypatch.setattr(tempfile, "tempdir", str(file))
    with pytest.raises(InputError, match="cannot be written to .*TORCH_HOME"):
        write_picture(ADDRESS, levels, "home")


def test_a_data_set_with_a_home_gives_files() -> None:
    samples = SyntheticSet(4, 40, 0).samples("gear").assign(split="test")
    drawn, written = LabelledImages(samples)[0], LabelledImages(samples, home="home")[0]
    assert is_address(drawn.image_path) and Path(written.image_path).is_file()
    assert (drawn.image == written.image).all()
