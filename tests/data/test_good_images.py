"""Test how good images are listed, drawn and recognised by their content."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from anomalib_cops.data.good_images import contents_of, list_images, normal_training_images, with_content_of
from anomalib_cops.errors import InputError
from tests.models.good_images import write

ADDRESS = "synthetic/64px-seed0/leather/good/0.png"


def test_files_are_recognised_by_content_wherever_they_are(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", 2)
    [copy] = write(tmp_path / "b", 1)
    known = contents_of([first, ADDRESS])
    assert with_content_of([second, copy, str(tmp_path / "missing.png"), ADDRESS], known) == [copy, ADDRESS]
    Path(first).unlink()
    assert with_content_of([copy], known) == [copy], "the references themselves may be gone"
    assert with_content_of([second, copy], {}) == []


def test_folders_are_listed_with_their_sub_folders(tmp_path: Path) -> None:
    deep = write(tmp_path / "a/b", 1)
    flat = write(tmp_path / "a", 1, first=5)
    assert list_images(tmp_path / "a", "images") == sorted([*deep, *flat])
    assert list_images(flat, "images") == flat
    with pytest.raises(InputError, match="There are no images: the list is empty"):
        list_images([], "images")


def test_normal_images_are_drawn_by_seed() -> None:
    samples = pd.DataFrame({"image_path": [f"{n}.png" for n in range(9)], "label_index": [0] * 8 + [1]})
    data = SimpleNamespace(train_data=SimpleNamespace(samples=samples))
    drawn = normal_training_images(data, 4, seed=0)
    assert drawn == normal_training_images(data, 4, seed=0) != normal_training_images(data, 4, seed=1)
    assert len(set(drawn)) == 4 and "8.png" not in drawn
