"""Items and batches of labelled images."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from anomalib import TaskType
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import Resize

from anomalib_cops.data.dataset import LabelledImages
from anomalib_cops.data.sets.folder import FolderSet
from anomalib_cops.data.sets.synthetic_set import SyntheticSet
from anomalib_cops.errors import InputError
from tests.data.conftest import MakeCategory, picture, save, spot


def dataset(folder: Path) -> LabelledImages:
    """The data set of one category in a folder."""
    return LabelledImages(FolderSet(folder).samples(folder.name).assign(split="test"))


def test_an_item(tmp_path: Path, make_category: MakeCategory) -> None:
    items = dataset(make_category(tmp_path / "bolt", good=1, defect=1))
    defect, good = items[0], items[1]
    assert (defect.gt_label, good.gt_label) == (True, False)
    assert good.image_path == str(tmp_path / "bolt" / "good" / "000.png")
    assert defect.mask_path == str(tmp_path / "bolt" / "mask" / "000.png")
    assert defect.image.shape == (3, 12, 10)
    assert defect.image.dtype == torch.float32
    torch.testing.assert_close(torch.as_tensor(defect.image), torch.full((3, 12, 10), 100 / 255), rtol=0, atol=1e-7)
    np.testing.assert_array_equal(defect.gt_mask, spot() > 0)
    assert good.gt_mask.shape == (12, 10)
    assert not good.gt_mask.any()


def test_without_masks_there_is_no_pixel_truth(tmp_path: Path, make_category: MakeCategory) -> None:
    items = dataset(make_category(tmp_path / "bolt", masks=False))
    assert items.task == TaskType.CLASSIFICATION
    assert all(items[index].gt_mask is None for index in range(len(items)))
    items.augmentations = Resize((6, 6))
    assert items[0].image.shape == (3, 6, 6)


def test_an_anomalous_image_with_an_empty_mask_stays_anomalous(tmp_path: Path, make_category: MakeCategory) -> None:
    folder = make_category(tmp_path / "bolt")
    save(folder / "mask" / "000.png", 0 * spot())
    item = dataset(folder)[0]
    assert item.gt_label
    assert not item.gt_mask.any()


def test_a_mask_of_another_size_is_refused(tmp_path: Path, make_category: MakeCategory) -> None:
    folder = make_category(tmp_path / "bolt")
    save(folder / "mask" / "000.png", spot((10, 12)))
    with pytest.raises(InputError, match=r"mask \S*mask\S000\.png has 12x10 pixels, but .*defect\S000\.png 10x12"):
        dataset(folder)[0]


def test_files_and_drawn_pictures_batch_together_at_the_model_s_size(
    tmp_path: Path, make_category: MakeCategory
) -> None:
    folder = make_category(tmp_path / "bolt", good=1, defect=1)
    save(folder / "good" / "wide.png", picture(5, (7, 31)))
    drawn = LabelledImages(SyntheticSet(4, 40, 0).samples("gear").assign(split="test"))
    both = dataset(folder) + drawn
    both.augmentations = Resize((16, 16))
    batch = next(iter(DataLoader(both, batch_size=len(both), collate_fn=both.collate_fn)))
    assert batch.image.shape == (7, 3, 16, 16)
    assert batch.gt_mask.shape == (7, 16, 16)
    assert batch.gt_mask.dtype == torch.bool
    truth = pd.Series(batch.gt_label.tolist(), index=batch.image_path)
    assert truth.sum() == 3
    assert batch.gt_mask.flatten(1).any(dim=1).tolist() == truth.tolist()
    assert sorted(batch.mask_path)[-1] == str(folder / "mask" / "000.png")
    assert batch.mask_path.count("") == 6


def test_mask_paths_do_not_depend_on_the_first_item(tmp_path: Path, make_category: MakeCategory) -> None:
    items = dataset(make_category(tmp_path / "bolt", good=1, defect=1))
    paths = [items.collate_fn([items[index] for index in order]).mask_path for order in ([0, 1], [1, 0])]
    assert paths[0] == paths[1][::-1]
    assert paths[0][1] == ""


def test_an_item_is_the_same_on_every_reading(tmp_path: Path) -> None:
    drawn = LabelledImages(SyntheticSet(4, 40, 0).samples("gear").assign(split="test"))
    torch.testing.assert_close(drawn[3].image, drawn[3].image, rtol=0, atol=0)


def test_errors_of_a_worker_process_are_one_sentence(tmp_path: Path, make_category: MakeCategory) -> None:
    folder = make_category(tmp_path / "bolt", good=1, defect=1)
    items = dataset(folder)
    (folder / "good" / "000.png").write_bytes(b"")
    loader = DataLoader(items, batch_size=1, num_workers=1, collate_fn=items.collate_fn)
    with pytest.raises(InputError) as caught:
        list(loader)
    path = folder / "good" / "000.png"
    assert str(caught.value) == f"{path} cannot be used: the file is empty; remove or replace it."
