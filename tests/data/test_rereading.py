"""Images of 16 bits and images that are stored turned, on every way to a model."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from anomalib.data import Folder, ImageBatch, ImageItem, PredictDataset
from anomalib.data.utils import read_image as anomalib_reads
from anomalib.engine import Engine
from anomalib.pre_processing import PreProcessor
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset
from torchvision.transforms.v2 import Normalize, Resize

from anomalib_cops import AnomalyCLIP, ZeroShotTransfer
from anomalib_cops.data import read_image
from anomalib_cops.data.unit_range import to_unit_range
from anomalib_cops.errors import InputError

SIZE = (40, 56)
TURNED = 6


def show(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture with a defect in one corner, and its mask, as they are to be seen."""
    levels = np.random.default_rng(number).integers(60, 120, (*SIZE, 3)).astype(np.uint8)
    levels[..., 1:] = levels[..., :1]
    mask = np.zeros(SIZE, np.uint8)
    if number % 2:
        mask[4:16, 5:25] = 255
        levels[mask > 0] = 230
    return levels, mask


def plain(levels: np.ndarray, path: Path) -> None:
    """Upright, 8 bits."""
    Image.fromarray(levels[..., 0]).save(path)


def deep(levels: np.ndarray, path: Path) -> None:
    """Upright, 16 bits."""
    Image.fromarray(levels[..., 0].astype(np.uint16) * 257).save(path)


def turned(levels: np.ndarray, path: Path) -> None:
    """8 bits, stored lying on one side, with a note on how to turn it."""
    exif = Image.Exif()
    exif[0x0112] = TURNED
    Image.fromarray(np.rot90(levels[..., 0])).save(path, exif=exif)


WRITERS = {"plain": plain, "deep": deep, "turned": turned}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same labelled pictures, written in three ways."""
    root = tmp_path_factory.mktemp("ways")
    for name, write in WRITERS.items():
        for part in ("good", "defect", "mask"):
            (root / name / part).mkdir(parents=True)
        for number in range(6):
            levels, mask = show(number)
            write(levels, root / name / ("defect" if number % 2 else "good") / f"{number}.png")
            if number % 2:
                Image.fromarray(mask).save(root / name / "mask" / f"{number}.png")
    return {name: root / name for name in WRITERS}


class Trace(AnomalyCLIP):
    """Model that records the images that reach it."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(backbone="tiny", seed=0, visualizer=False, evaluator=False, **arguments)
        self.seen: dict[str, tuple[torch.Tensor, torch.Tensor | None]] = {}

    def look(self, batch: ImageBatch) -> None:
        for row, path in enumerate(batch.image_path):
            mask = None if batch.gt_mask is None else batch.gt_mask[row].clone()
            self.seen[Path(path).name] = batch.image[row].clone(), mask

    def training_step(self, batch: ImageBatch, batch_idx: int) -> torch.Tensor:
        self.look(batch)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: ImageBatch, batch_idx: int) -> Any:
        self.look(batch)
        return super().validation_step(batch, batch_idx)


@pytest.fixture(scope="module")
def model() -> Trace:
    """An untrained one; not a subclass that anomalib could find."""
    return Trace()


def engine(folder: Path) -> Engine:
    return Engine(default_root_dir=folder, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False)


def loader(dataset: Any, batch_size: int = 3) -> DataLoader[Any]:
    return DataLoader(dataset, batch_size=batch_size, collate_fn=ImageBatch.collate)


def by_anomalib(folder: Path) -> Folder:
    return Folder(
        name="x",
        normal_dir=str(folder / "good"),
        abnormal_dir=str(folder / "defect"),
        mask_dir=str(folder / "mask"),
        num_workers=0,
        test_split_mode="from_dir",
        val_split_mode="same_as_test",
    )


def transformed(folder: Path) -> PredictDataset:
    return PredictDataset(folder / "defect", transform=Resize((50, 50)))


ROADS: dict[str, Callable[[Trace, Path, Path], object]] = {
    "test anomalib's Folder": lambda model, folder, out: engine(out).test(
        model, datamodule=by_anomalib(folder), verbose=False
    ),
    "validate anomalib's Folder": lambda model, folder, out: engine(out).validate(
        model, datamodule=by_anomalib(folder), verbose=False
    ),
    "test a transfer": lambda model, folder, out: engine(out).test(
        model, datamodule=ZeroShotTransfer(target=str(folder), num_workers=0, synthetic_samples=4), verbose=False
    ),
    "predict a folder": lambda model, folder, out: engine(out).predict(model, data_path=folder / "defect"),
    "predict with a transform": lambda model, folder, out: engine(out).predict(model, dataset=transformed(folder)),
    "predict a subset": lambda model, folder, out: engine(out).predict(
        model, dataloaders=loader(Subset(transformed(folder), [0, 2]))
    ),
    "predict a concatenation": lambda model, folder, out: engine(out).predict(
        model, dataloaders=loader(ConcatDataset([Subset(transformed(folder), [0]), transformed(folder)]))
    ),
}


@pytest.mark.parametrize("road", ROADS)
def test_the_same_picture_reaches_the_model_by_every_road(
    road: str, model: Trace, folders: dict[str, Path], tmp_path: Path
) -> None:
    found = {}
    for name, folder in folders.items():
        model.seen = {}
        ROADS[road](model, folder, tmp_path)
        found[name] = model.seen
    assert len(found["plain"]) >= 2
    for name in ("deep", "turned"):
        assert found[name].keys() == found["plain"].keys()
        for key, (image, mask) in found["plain"].items():
            torch.testing.assert_close(found[name][key][0], image, rtol=0, atol=1e-5)
            assert (mask is None and found[name][key][1] is None) or torch.equal(found[name][key][1], mask)


def test_training_sees_them_too_whatever_the_pre_processor(folders: dict[str, Path], tmp_path: Path) -> None:
    """anomalib's data modules train on normal images only, so their loader stands in for one that does not."""
    seen = {}
    for name, folder in folders.items():
        model = Trace(epochs=1, pre_processor=PreProcessor(Resize((48, 48), antialias=True)), image_size=48)
        data = by_anomalib(folder)
        data.setup()
        data.test_data.augmentations = Resize((48, 48), antialias=True)
        engine(tmp_path / name).fit(
            model, train_dataloaders=DataLoader(data.test_data, 3, collate_fn=data.test_data.collate_fn)
        )
        seen[name] = model.seen
    for name in ("deep", "turned"):
        for key, (image, mask) in seen["plain"].items():
            torch.testing.assert_close(seen[name][key][0], image, rtol=0, atol=1e-5)
            assert torch.equal(seen[name][key][1], mask)


class Own(Dataset):
    """A user's own data set, with any reader."""

    def __init__(self, paths: Iterable[Path], read: Callable[[Path], torch.Tensor]) -> None:
        self.paths, self.read = list(paths), read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> ImageItem:
        return ImageItem(image=self.read(self.paths[index]), image_path=str(self.paths[index]))


def ours(path: Path) -> torch.Tensor:
    return torch.from_numpy(read_image(path)).permute(2, 0, 1) / 255


def test_a_data_set_of_ones_own_reads_as_it_likes_but_white(
    model: Trace, folders: dict[str, Path], tmp_path: Path
) -> None:
    paths = sorted((folders["deep"] / "defect").iterdir())
    assert anomalib_reads(paths[0], as_tensor=True).min() == 1
    engine(tmp_path).predict(model, dataloaders=loader(Own(paths, ours)))
    with pytest.raises(InputError, match=r"1\.png has 16 bits and came as white from its data set"):
        engine(tmp_path).predict(
            model, dataloaders=loader(Own(paths, lambda path: anomalib_reads(path, as_tensor=True)))
        )
    named = [Path("camera 1"), Path("camera 2")]
    engine(tmp_path).predict(model, dataloaders=loader(Own(named, lambda path: torch.zeros(3, 30, 30))))


LEVELS = {
    "8 bits": lambda image: image * 255,
    "16 bits": lambda image: image * 65535,
    "16 bits taken for 32": lambda image: (image * 65535).to(torch.int32),
    "normalised": Normalize([0.48, 0.46, 0.41], [0.27, 0.26, 0.28]),
}


@pytest.mark.parametrize("kind", LEVELS)
def test_levels_in_memory_that_are_not_from_black_to_white(
    model: Trace, folders: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    paths = sorted((folders["plain"] / "defect").iterdir())
    with pytest.raises(InputError, match=r"defect/1\.png has levels from .* but black is 0 and white is 1; divide"):
        engine(tmp_path).predict(model, dataloaders=loader(Own(paths, lambda path: LEVELS[kind](ours(path)))))


def test_levels_of_8_and_16_bits_without_a_sign_are_scaled(model: Trace) -> None:
    image = torch.rand(1, 3, 20, 20)
    expected = (image * 255).round() / 255
    torch.testing.assert_close(to_unit_range((image * 255).round().to(torch.uint8)), expected)
    torch.testing.assert_close(to_unit_range((image * 65535).round().to(torch.uint16)), image, atol=1e-5, rtol=0)
    assert to_unit_range(image) is image
    with pytest.raises(InputError, match=r"images of torch\.int32 do not say what is white"):
        to_unit_range((image * 255).to(torch.int32))


def test_a_turned_picture_among_others_of_its_size_is_refused(
    model: Trace, folders: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(
        InputError, match=r"1\.png is stored turned .* among images of \(56, 40\) pixels has \(40, 56\)"
    ):
        engine(tmp_path).predict(
            model, dataloaders=loader(Subset(PredictDataset(folders["turned"] / "defect"), range(3)))
        )
