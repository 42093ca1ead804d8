"""Images of a prediction that threads read ahead: the same to the last bit, and decoded once."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from anomalib.data import ImageBatch, PredictDataset
from anomalib.data import predict as anomalib_predict
from anomalib.engine import Engine
from lightning.pytorch import Callback
from PIL import Image
from torch.utils.data import DataLoader, Subset

from anomalib_cops import AnomalyCLIP
from anomalib_cops.errors import InputError
from anomalib_cops.host import reading_ahead
from anomalib_cops.host.reading_ahead import ReadingThreads, is_read_ahead
from anomalib_cops.images import reading

SIZE = 120
KINDS = (".png", ".jpg", ".jpg", ".png", ".png")


@pytest.fixture(scope="module")
def model() -> AnomalyCLIP:
    """An untrained one, whose scores differ between images all the same."""
    return AnomalyCLIP(backbone="tiny", seed=0, evaluator=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of many kinds, the first of the size of the model's input."""
    random = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    made = tmp_path / "images"
    made.mkdir()
    Image.fromarray(random.integers(0, 255, (SIZE, SIZE, 3), np.uint8)).save(made / "0.png")
    Image.fromarray(random.integers(0, 255, (301, 222, 3), np.uint8)).save(made / "1.jpg")
    Image.fromarray(random.integers(0, 255, (90, 250), np.uint8)).save(made / "2.jpg", exif=exif)
    Image.fromarray(random.integers(0, 65535, (200, 150), np.uint16)).save(made / "3.png")
    Image.fromarray(random.integers(0, 255, (40, 60, 4), np.uint8)).save(made / "4.png")
    return made


class Seen(Callback):
    """Record what comes out, and whether the data set is read ahead."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self.ahead: set[bool] = set()

    def on_predict_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.ahead.add(is_read_ahead(trainer.predict_dataloaders[0].dataset))
        for row, path in enumerate(outputs.image_path):
            fields = ("image", "pred_score", "anomaly_map")
            self.found[Path(path).name] = {name: getattr(outputs, name)[row].clone() for name in fields}


def predict(model: AnomalyCLIP, output: Path, data: Any, batch_size: int = 1, **loader: Any) -> Seen:
    seen = Seen()
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False}
    engine = Engine(default_root_dir=output, accelerator="cpu", callbacks=[seen], **quiet)
    # By name: an error in a loader's method leaves Lightning's wrapper around DataLoader, which takes a place twice.
    engine.predict(
        model,
        dataloaders=DataLoader(data, batch_size=batch_size, collate_fn=ImageBatch.collate, **loader),
        return_predictions=False,
    )
    return seen


def plain(folder: Path) -> Subset[Any]:
    """The same data set in a way that leaves its reading to anomalib."""
    data = PredictDataset(folder)
    return Subset(data, range(len(data)))


def pictures(output: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in output.rglob("images/*.png")}


def test_scores_maps_and_pictures_are_the_same_to_the_last_bit(
    model: AnomalyCLIP, folder: Path, tmp_path: Path
) -> None:
    ahead = predict(model, tmp_path / "ahead", PredictDataset(folder))
    before = predict(model, tmp_path / "before", plain(folder))
    assert ahead.ahead == {True} and before.ahead == {False}
    assert list(ahead.found) == list(before.found) == [f"{number}{suffix}" for number, suffix in enumerate(KINDS)]
    for name, fields in before.found.items():
        for field, value in fields.items():
            assert torch.equal(ahead.found[name][field], value), (name, field)
    drawn, expected = pictures(tmp_path / "ahead"), pictures(tmp_path / "before")
    assert drawn.keys() == expected.keys() and len(drawn) == len(KINDS)
    assert all(np.array_equal(drawn[name], expected[name]) for name in drawn)


def test_every_file_is_decoded_once_with_pictures_and_check(
    model: AnomalyCLIP, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "3.png").unlink()  # whether 16 bits can be used, the check knows by decoding alone
    opened: Counter[str] = Counter()
    open_image = reading.open_image
    monkeypatch.setattr(reading, "open_image", lambda path: opened.update([Path(path).name]) or open_image(path))
    monkeypatch.setattr(anomalib_predict, "read_image", lambda *_, **__: pytest.fail("read by anomalib"))
    predict(model, tmp_path / "out", PredictDataset(folder))
    assert opened == dict.fromkeys(["0.png", "1.jpg", "2.jpg", "4.png"], 1)
    assert len(pictures(tmp_path / "out")) == 4


def test_images_of_any_shape_fit_into_a_batch_and_every_order_is_served(
    model: AnomalyCLIP, folder: Path, tmp_path: Path
) -> None:
    together = predict(model, tmp_path, PredictDataset(folder), batch_size=3)
    backwards = predict(model, tmp_path, PredictDataset(folder), sampler=[4, 3, 3, 0, 2, 1])
    assert together.ahead == backwards.ahead == {True}
    assert together.found.keys() == backwards.found.keys()
    for name, fields in together.found.items():
        assert torch.equal(fields["image"], backwards.found[name]["image"])


def test_a_loader_with_processes_of_its_own_keeps_them(model: AnomalyCLIP, folder: Path, tmp_path: Path) -> None:
    by_processes = predict(model, tmp_path, PredictDataset(folder), num_workers=1)
    assert by_processes.ahead == {False}
    for name, fields in predict(model, tmp_path, PredictDataset(folder)).found.items():
        assert torch.equal(by_processes.found[name]["pred_score"], fields["pred_score"])


def test_cut_files_are_named_before_the_first_score_and_damaged_ones_when_it_is_their_turn(
    model: AnomalyCLIP, folder: Path, tmp_path: Path
) -> None:
    data = PredictDataset(folder)
    whole = (folder / "4.png").read_bytes()
    (folder / "4.png").write_bytes(whole[:-40])
    with pytest.raises(InputError, match=r"4\.png cannot be used: the image is damaged"):
        predict(model, tmp_path / "cut", data)
    assert not list((tmp_path / "cut").rglob("scores.csv*"))
    middle = len(whole) // 2
    (folder / "4.png").write_bytes(whole[:middle] + bytes(50) + whole[middle + 50 :])
    with pytest.raises(InputError, match=r"4\.png cannot be used: the image is damaged"):
        predict(model, tmp_path / "damaged", data)
    [table] = (tmp_path / "damaged").rglob("scores.csv.part")
    assert len(table.read_text().splitlines()) == 1 + 4
    assert not is_read_ahead(data) and model.visualizer.take_shown is None


def test_no_more_is_read_ahead_than_there_is_room_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [folder / "0.png"] * 100
    threads = ReadingThreads(paths, stride=2)
    assert len(threads.items([10, 12])) == 2
    assert list(threads._waiting) == list(range(14, 14 + 2 * (2 + threads._ahead), 2))
    for waiting in list(threads._waiting.values()):
        waiting.result()
    monkeypatch.setattr(reading_ahead, "_WAITING_BYTES", 0)
    before = set(threads._waiting)
    threads.items([14, 16])
    assert set(threads._waiting) == before - {14, 16}
    threads.close()
