"""Predictions that are returned: the same tensors, in memory or on the disk."""

from pathlib import Path

import pytest
import torch
from anomalib.data import ImageBatch

from anomalib_cops.errors import InputError
from anomalib_cops.host import returned_predictions
from anomalib_cops.host.returned_predictions import ReturnedPredictions


def batch(seed: int, size: int = 2) -> ImageBatch:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(size, 7, 5, generator=generator)
    image = torch.rand(size, 3, 7, 5, generator=generator)
    return ImageBatch(image=image, anomaly_map=maps, pred_mask=maps > 0.5, pred_score=maps.amax((1, 2)))


def test_tensors_are_equal_on_the_disk_and_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returned_predictions, "_CHUNK", 2000)
    one = batch(0)
    kept = ReturnedPredictions(tmp_path, in_memory=one.image.nbytes + one.anomaly_map.nbytes + one.pred_mask.nbytes)
    batches = [one, *(batch(seed) for seed in range(1, 6)), batch(6, size=9)]
    tensors = [each.image for each in batches]
    for each in batches:
        kept.keep(each)
    kept.close()
    for seed, each in enumerate(batches):
        made = batch(seed, size=len(each))
        for name in ("image", "anomaly_map", "pred_mask", "pred_score"):
            assert torch.equal(getattr(each, name), getattr(made, name)), (seed, name)
    # The first batch is the tensor that it was, the others are elsewhere, in files that nobody has to delete.
    assert [before.data_ptr() == each.image.data_ptr() for before, each in zip(tensors, batches, strict=True)] == [
        True,
        *[False] * 6,
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ReturnedPredictions(tmp_path, in_memory=0)

    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(returned_predictions.os, "write", full)
    with pytest.raises(InputError, match=r"cannot hold what Engine.predict returns .*return_predictions=False"):
        kept.keep(batch(0))
