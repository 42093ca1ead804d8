"""The category of every image travels with items and batches wherever anomalib's other fields do."""

import copy
import pickle
from pathlib import Path

import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from torch.utils.data import DataLoader

from anomalib_cops.data import LabelledImages
from anomalib_cops.data.category_batch import CategoryBatch, CategoryItem
from anomalib_cops.data.sets.folder import FolderSet
from anomalib_cops.data.sets.synthetic_set import SyntheticSet
from tests.data.conftest import MakeCategory

CATEGORIES = ["bolt", "bolt", "gear", "gear", "gear", "gear"]


def both(folder: Path) -> LabelledImages:
    """Two pictures of a bolt and four of a gear."""
    files = LabelledImages(FolderSet(folder).samples(folder.name).assign(split="test"))
    return files + LabelledImages(SyntheticSet(4, 40, 0).samples("gear").assign(split="test"))


def test_loaders_give_the_category_of_every_image(tmp_path: Path, make_category: MakeCategory) -> None:
    images = both(make_category(tmp_path / "bolt", good=1, defect=1))
    for workers in (0, 1):
        batch = next(iter(DataLoader(images, batch_size=6, num_workers=workers, collate_fn=images.collate_fn)))
        assert isinstance(batch, CategoryBatch) and batch.category == CATEGORIES
        assert [Path(path).parts[-3] for path in batch.image_path] == CATEGORIES


def test_what_is_made_of_a_batch_keeps_the_categories() -> None:
    items = [CategoryItem(image=torch.zeros(3, 8, 8), category=name) for name in ("bolt", "gear")]
    batch = CategoryBatch.collate(items)
    updated = batch.update(in_place=False, pred_score=torch.ones(2))
    made = [batch, updated, move_data_to_device(batch, "cpu"), copy.deepcopy(batch), pickle.loads(pickle.dumps(batch))]
    for each in [*made, batch.to_numpy()]:
        assert each.category == ["bolt", "gear"]
        assert [item.category for item in each] == ["bolt", "gear"]
    assert items[0].to_numpy().category == "bolt"
    assert updated.pred_score is not None and batch.pred_score is None


def test_the_categories_may_be_unknown() -> None:
    batch = CategoryBatch.collate([CategoryItem(image=torch.zeros(3, 8, 8))])
    assert batch.category is None
    assert [item.category for item in batch] == [None]
