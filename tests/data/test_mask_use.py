"""Which masks of a source a training uses, and how its batches say it."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from anomalib_cops.data import ZeroShotTransfer
from anomalib_cops.data.category_batch import CategoryBatch, known_masks
from anomalib_cops.errors import InputError
from tests.data.conftest import MakeCategory, save, spot

LABELS_ALONE = "these images train by their labels alone, and take no part in losses, thresholds and metrics of pixels."


@pytest.fixture
def sets(tmp_path: Path, make_category: MakeCategory) -> Path:
    """A source of two categories, of which head has no masks, and a target."""
    make_category(tmp_path / "tools" / "bolt", good=10, defect=8)
    make_category(tmp_path / "tools" / "head", good=6, defect=6, masks=False)
    make_category(tmp_path / "parts" / "washer")
    return tmp_path


def transfer(folder: Path, **arguments: Any) -> ZeroShotTransfer:
    given = {"source": str(folder / "tools"), "target": str(folder / "parts"), "num_workers": 0, **arguments}
    data = ZeroShotTransfer(**given)
    data.setup()
    return data


def known(data: ZeroShotTransfer) -> dict[tuple[str, str], bool]:
    """Whether the mask is known, by category and stem, of the anomalous images of the source."""
    samples = data.samples[(data.samples["split"] != "test") & (data.samples["label_index"] == 1)]
    return {(row.category, Path(row.image_path).stem): bool(row.masked) for row in samples.itertuples()}


def fit(data: ZeroShotTransfer, model: Any) -> list[Any]:
    """The training batches that a model gets."""
    data.trainer = SimpleNamespace(lightning_module=model, model=None)
    data.setup(TrainerFn.FITTING)
    return list(data.train_dataloader())


def incomplete(folder: Path) -> Path:
    """Take the masks of two images of bolt away."""
    for stem in ("001", "002"):
        (folder / "tools" / "bolt" / "mask" / f"{stem}.png").unlink()
    return folder


def test_by_default_categories_train_with_the_masks_that_they_have(sets: Path) -> None:
    assert {category for (category, _), masked in known(transfer(sets)).items() if masked} == {"bolt"}
    assert {category for (category, _), masked in known(transfer(sets)).items() if not masked} == {"head"}


def test_a_batch_says_of_each_image_whether_its_mask_is_known(sets: Path) -> None:
    seen = 0
    for batch in transfer(sets, train_batch_size=5).train_dataloader():
        assert isinstance(batch, CategoryBatch)
        assert batch.masked.tolist() == [category == "bolt" for category in batch.category]
        assert torch.equal(batch.gt_mask.flatten(1).any(dim=1), batch.gt_label.bool() & batch.masked)
        assert [bool(item.masked) for item in batch] == batch.masked.tolist()
        assert batch.to_numpy().masked.tolist() == batch.masked.tolist()
        seen += len(batch.image)
    assert seen == len(transfer(sets).train_data)


def test_batches_of_one_kind_are_anomalib_s(sets: Path) -> None:
    (with_masks,) = {batch.masked for batch in transfer(sets, source_categories=["bolt"]).train_dataloader()}
    without = next(iter(transfer(sets, source_categories=["head"]).train_dataloader()))
    assert with_masks is without.masked is without.gt_mask is None
    assert known_masks(without).tolist() == [False] * 8


def test_no_batch_of_the_validation_mixes(sets: Path) -> None:
    data = transfer(sets, val_fraction=0.5, eval_batch_size=4)
    batches = list(data.val_dataloader())
    assert [len(batch.image) for batch in batches] == [4, 4, 1, 4, 2]
    assert [set(batch.category) for batch in batches] == [{"bolt"}] * 3 + [{"head"}] * 2
    assert [batch.gt_mask is None for batch in batches] == [False] * 3 + [True] * 2
    assert sorted(path for batch in batches for path in batch.image_path) == sorted(data.val_data.samples["image_path"])
    workers = transfer(sets, val_fraction=0.5, eval_batch_size=4, num_workers=1).val_dataloader()
    assert [batch.image_path for batch in workers] == [batch.image_path for batch in batches]


@pytest.mark.parametrize("processes", [2, 3, 9])
def test_every_process_validates_images_of_both_kinds(
    sets: Path, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds, paths = [], []
    for rank in range(processes):
        monkeypatch.setattr("anomalib_cops.data.evaluation_loaders.place", lambda rank=rank: (rank, processes))
        batches = list(transfer(sets, val_fraction=0.4, eval_batch_size=2).val_dataloader())
        kinds.append([(len(batch.image), batch.gt_mask is None) for batch in batches])
        paths += [path for batch in batches for path in batch.image_path]
    assert all(each == kinds[0] for each in kinds) and {masked for _, masked in kinds[0]} == {False, True}
    assert set(paths) == set(transfer(sets, val_fraction=0.4).val_data.samples["image_path"])


def test_none_is_the_same_as_a_folder_without_masks(sets: Path, tmp_path: Path) -> None:
    unused = transfer(sets, masks="none", train_batch_size=30)
    for mask in (sets / "tools").rglob("mask/*.png"):
        mask.unlink()
    (sets / "tools" / "bolt" / "mask").rmdir()
    removed = transfer(sets, train_batch_size=30)
    assert unused.samples.equals(removed.samples)
    one, other = (next(iter(data.train_dataloader())) for data in (unused, removed))
    assert torch.equal(one.image, other.image) and one.image_path == other.image_path
    assert one.gt_mask is None and other.gt_mask is None


def test_none_accepts_masks_that_are_incomplete_and_synthetic_ones(sets: Path) -> None:
    assert not any(known(transfer(incomplete(sets), masks="none")).values())
    drawn = transfer(sets, source="synthetic", source_categories=["gear"], synthetic_samples=4, masks="none")
    assert next(iter(drawn.train_dataloader())).gt_mask is None


def test_some_uses_the_masks_that_there_are(sets: Path) -> None:
    found = known(transfer(incomplete(sets), masks="some"))
    assert {stem for (category, stem), masked in found.items() if category == "bolt" and not masked} == {"001", "002"}
    samples = transfer(sets, masks="some").samples
    normal = samples[(samples["label_index"] == 0) & (samples["set"] == "tools")]
    assert normal["masked"].equals(normal["category"] == "bolt")
    drawn = transfer(sets, source="synthetic", source_categories=["gear"], synthetic_samples=4, masks="some")
    assert drawn.train_data.samples["masked"].all()


def test_some_holds_out_images_of_both_kinds(sets: Path) -> None:
    held_out = transfer(incomplete(sets), masks="some", val_fraction=0.2, source_categories=["bolt"]).val_data.samples
    assert sorted(held_out[held_out["label_index"] == 1]["masked"]) == [False, True]


def test_missing_masks_are_refused_by_default_with_what_may_be_done(sets: Path) -> None:
    incomplete(sets)
    with pytest.raises(
        InputError, match=r'bolt has no mask for \S*001\.png, .*give masks="some" to train these images'
    ):
        transfer(sets)
    for stem in range(8):
        (sets / "tools" / "bolt" / "mask" / f"{stem:03d}.png").unlink(missing_ok=True)
    save(sets / "tools" / "bolt" / "mask" / "other.png", spot())
    for masks in ("auto", "some"):
        with pytest.raises(InputError, match=r'bolt has no mask .*named other\.png.*or give masks="none"'):
            transfer(sets, masks=masks)


def test_a_target_needs_all_of_its_masks_whatever_the_source_may_lack(sets: Path) -> None:
    (sets / "parts" / "washer" / "mask" / "001.png").unlink()
    with pytest.raises(InputError) as refusal:
        transfer(sets, masks="some")
    assert str(refusal.value).endswith("add what is missing, or move all masks away to use image labels only.")


@pytest.mark.parametrize("explicit", [False, True])
def test_some_does_not_lose_a_mask_of_a_wrong_name(sets: Path, explicit: bool) -> None:
    bolt = sets / "tools" / "bolt"
    (bolt / "mask" / "001.png").rename(bolt / "mask" / "0O1.png")
    given: Any = {
        "name": "mine",
        "normal_dir": bolt / "good",
        "abnormal_dir": bolt / "defect",
        "mask_dir": bolt / "mask",
    }
    with pytest.raises(InputError, match=r"has no mask for \S*001\.png, and \S*0O1\.png belongs to no image; name the"):
        transfer(sets, masks="some", source=given if explicit else str(sets / "tools"))


def test_another_word_is_refused(sets: Path) -> None:
    with pytest.raises(InputError, match="masks=nome is unknown; did you mean 'some' or 'none'"):
        transfer(sets, masks="nome")


def test_one_line_names_what_trains_without_masks(sets: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours = SimpleNamespace(learns_from_labels=True)
    with caplog.at_level(logging.INFO):
        for masks in ("auto", "some", "none"):
            caplog.clear()
            if masks == "some":
                incomplete(sets)
            data = transfer(sets, masks=masks)
            for _ in range(2):
                fit(data, ours)
            ((_, level, said),) = [each for each in caplog.record_tuples if "masks are used" in each[2]]
            which = {
                "auto": "tools/head",
                "some": "tools/bolt (2 of 8 anomalous images), tools/head",
                "none": "tools/bolt, tools/head",
            }[masks]
            assert said == f"No masks are used of {which}: {LABELS_ALONE}"
            assert level == (logging.INFO if masks == "none" else logging.WARNING)
        caplog.clear()
        fit(transfer(sets, source=str(sets / "parts"), target="synthetic"), ours)
    assert not [said for said in caplog.messages if "masks are used" in said]


def test_a_model_that_needs_masks_gets_images_with_masks(sets: Path, caplog: pytest.LogCaptureFixture) -> None:
    for model in (SimpleNamespace(learns_from_labels=False), SimpleNamespace()):
        with caplog.at_level(logging.WARNING):
            batches = fit(transfer(sets), model)
        assert {category for batch in batches for category in batch.category} == {"bolt"}
        assert all(batch.masked is None and batch.gt_mask is not None for batch in batches)
        assert (
            "SimpleNamespace learns from masks, so the images of the source without one (10) are left out"
            in caplog.text
        )
    batches = fit(transfer(sets, masks="none"), SimpleNamespace())
    assert all(batch.gt_mask is None for batch in batches)


def test_masks_may_be_known_of_all_images_of_a_mixed_batch(sets: Path) -> None:
    data = transfer(sets)
    samples = data.train_data.samples
    rows = [index for index, category in enumerate(samples["category"]) if category == "bolt"]
    loader = DataLoader(data.train_data, sampler=rows, batch_size=len(rows), collate_fn=data.train_data.collate_fn)
    batch = next(iter(loader))
    assert batch.masked.all() and known_masks(batch) is None
