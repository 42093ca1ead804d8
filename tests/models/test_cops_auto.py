"""Test the numbers of prototypes and of samples that CoPS chooses itself."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from pandas import DataFrame
from torch.nn import functional as F
from torchvision.transforms.v2 import RandomHorizontalFlip

from anomalib_cops import CoPS, InputError
from anomalib_cops.host import prototype_search
from anomalib_cops.host.held_out import held_out_rows
from anomalib_cops.models.cops import sample_count
from anomalib_cops.models.cops.noise import fixed_noise
from anomalib_cops.models.cops.sample_count import enough_samples, smallest_steady_count, use_samples
from anomalib_cops.weights.format import read_checkpoint, read_weights
from tests.models.cases import make
from tests.models.runs import engine, transfer

CATEGORIES = ["leather", "washer", "tablet", "gear"]
SMALL = {"source_categories": CATEGORIES, "synthetic_samples": 6}


def trained(folder: Path, data: Any = None, trainer: dict[str, Any] | None = None, **arguments: Any) -> CoPS:
    model = CoPS(backbone="tiny", visualizer=False, **{"seed": 5, **arguments})
    engine(folder, **{"max_epochs": 1, **(trainer or {})}).fit(model, datamodule=data or transfer(**SMALL))
    return model


@pytest.fixture(scope="module")
def automatic(tmp_path_factory: pytest.TempPathFactory) -> tuple[CoPS, Path]:
    """Return a model that chose both numbers, and the folder of its training."""
    folder = tmp_path_factory.mktemp("automatic")
    return trained(folder, n_prototypes="auto", n_samples="auto"), folder


@pytest.mark.parametrize("dim", [48, 512, 640, 768, 1024])
def test_longer_noise_begins_with_the_shorter(dim: int) -> None:
    longest = fixed_noise(5000, dim, seed=3)
    for samples in (1, 2, 7, 10, 33, 1000):
        assert torch.equal(fixed_noise(samples, dim, seed=3), longest[:samples])


def test_the_count_is_steady_only_after_the_last_sample_that_moves_the_mean() -> None:
    same = torch.tensor([1.0, 0.0]).expand(2, 2, 20, 2)
    assert smallest_steady_count(same) == 1
    moved = same.clone()
    moved[1, 0, :4] = torch.tensor([0.8, 0.6])
    # The mean of 20 samples, 4 of them turned, is what is to be reached; one image and one state suffice to be off.
    everything = F.normalize(moved[1, 0].sum(dim=0), dim=-1)
    means = F.normalize(moved[1, 0].cumsum(dim=0), dim=-1)
    off = [count for count in range(1, 11) if 1 - means[count - 1] @ everything > sample_count.TOLERANCE]
    assert smallest_steady_count(moved) == min(off[-1] + 1, 10)


def test_features_that_never_settle_give_the_largest_count() -> None:
    wild = F.normalize(torch.randn(1, 2, 64, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    assert smallest_steady_count(wild) == 32


def test_the_chosen_samples_are_those_that_the_model_draws(clip: Any, images: torch.Tensor) -> None:
    model = make("CoPS", clip)
    count = enough_samples(model, images)
    assert 1 <= count <= sample_count.MOST_SAMPLES
    assert count == enough_samples(model, images), "the same in every call"
    use_samples(model, count)
    assert torch.equal(model.noise, fixed_noise(count, model.clip.dim, model.settings.seed))
    expected = make("CoPS", clip, n_samples=count)
    assert torch.equal(model(images).anomaly_map, expected(images).anomaly_map)
    assert enough_samples(make("CoPS", clip, categories="static", n_samples=3), images) == 3, "nothing is drawn"


def test_both_numbers_are_in_the_model_its_weight_file_and_its_checkpoint(
    automatic: tuple[CoPS, Path], tmp_path: Path
) -> None:
    model, folder = automatic
    settings = model.model.settings
    assert settings.n_prototypes in prototype_search.CANDIDATES
    assert model.model.prototypes.queries.shape[1] == settings.n_prototypes
    assert len(model.model.noise) == settings.n_samples == model.hparams["n_samples"]
    (weights,), (checkpoint,) = folder.rglob("*.safetensors"), folder.rglob("*.ckpt")
    for file in (read_weights(weights, "CoPS"), read_checkpoint(checkpoint, "CoPS")):
        assert (file.settings["n_prototypes"], file.settings["n_samples"]) == (
            settings.n_prototypes,
            settings.n_samples,
        )
    for restored in (CoPS(weights=str(weights)), CoPS.load_from_checkpoint(checkpoint)):
        assert restored.model.settings == settings
    # A configuration with "auto" also serves for the test: it means the numbers of the weights.
    again = CoPS(weights=str(weights), n_prototypes="auto", n_samples="auto")
    assert again.model.settings == settings
    fixed = CoPS(weights=str(CoPS(backbone="tiny", n_samples=3).save_weights(tmp_path / "w.safetensors")))
    assert fixed.model.settings.n_samples == 3
    assert CoPS(weights=str(tmp_path / "w.safetensors"), n_samples="auto").model.settings.n_samples == 3


def test_a_training_with_the_number_that_was_chosen_gives_the_same_prompts(
    automatic: tuple[CoPS, Path], tmp_path: Path
) -> None:
    model = automatic[0]
    chosen = model.model.settings
    fixed = trained(tmp_path, n_prototypes=chosen.n_prototypes, n_samples=chosen.n_samples)
    for name, value in fixed.trained_state().items():
        assert torch.equal(value, model.trained_state()[name]), name
    torch.testing.assert_close(fixed.post_processor.image_threshold, model.post_processor.image_threshold)
    assert fixed.model.settings == chosen


def test_the_same_seed_gives_the_same_choice_and_leaves_random_numbers_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(prototype_search, "CANDIDATES", (1, 2))
    lines, drawn = [], []
    for attempt in range(2):
        caplog.clear()
        torch.manual_seed(7)
        with caplog.at_level(logging.INFO, logger="anomalib_cops"):
            trained(tmp_path / str(attempt), n_prototypes="auto", trainer={"max_epochs": 1})
        lines.append([record.getMessage() for record in caplog.records if "n_prototypes" in record.getMessage()])
        drawn.append(torch.rand(1))
    assert lines[0] == lines[1] and len(lines[0]) == 2
    assert "1: " in lines[0][1] and "2: " in lines[0][1], "every figure is logged"
    assert torch.equal(drawn[0], drawn[1])


def table(**categories: int) -> DataFrame:
    rows = [
        {
            "image_path": f"{name}/{index}.png",
            "set": "s",
            "category": name,
            "label_index": index % 2,
            "masked": index % 2,
        }
        for name, count in categories.items()
        for index in range(count)
    ]
    return DataFrame(rows)


def test_whole_categories_are_held_out_where_there_are_three() -> None:
    samples = table(a=4, b=6, c=8, d=10, e=4, f=4, g=4, h=4)
    chosen = held_out_rows(samples, seed=0)
    by_category = DataFrame({"category": samples["category"], "chosen": chosen}).groupby("category")["chosen"]
    assert set(by_category.mean()) == {0.0, 1.0} and by_category.first().sum() == 2
    assert (chosen == held_out_rows(samples, seed=0)).all()
    assert any((chosen != held_out_rows(samples, seed=seed)).any() for seed in range(1, 5))


def test_images_of_each_category_and_label_are_held_out_where_there_are_two() -> None:
    samples = table(a=16, b=8)
    chosen = held_out_rows(samples, seed=0)
    counts = samples[chosen].groupby(["category", "label_index"]).size()
    assert counts["a"].tolist() == [2, 2] and counts["b"].tolist() == [1, 1]


def test_the_search_and_the_training_share_a_feature_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(prototype_search, "CANDIDATES", (1, 2))
    data = transfer(**SMALL)
    entries = []

    class Count(Callback):
        def on_train_start(self, *_: Any) -> None:
            entries.append(len(list((tmp_path / "features").rglob("*.safetensors"))))

    options = {"n_prototypes": "auto", "feature_cache": str(tmp_path / "features")}
    trained(tmp_path / "run", data, trainer={"callbacks": [Count()]}, **options)
    assert entries == [len(data.train_data)]
    both = len(data.train_data) + len(data.val_data)
    assert len(list((tmp_path / "features").rglob("*.safetensors"))) == both, "the training adds the validation"


def test_resuming_and_going_on_from_weights_do_not_search_again(
    automatic: tuple[CoPS, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model, folder = automatic
    monkeypatch.setattr(prototype_search, "CANDIDATES", ())  # a search would fail
    (checkpoint,), (weights,) = folder.rglob("*.ckpt"), folder.rglob("*.safetensors")
    automatically = {"n_prototypes": "auto", "n_samples": "auto", "visualizer": False, "seed": 5}
    resumed = CoPS(backbone="tiny", **automatically)
    engine(tmp_path / "a", max_epochs=2).fit(resumed, datamodule=transfer(**SMALL), ckpt_path=checkpoint)
    assert resumed.model.settings.n_prototypes == model.model.settings.n_prototypes
    further = CoPS(weights=str(weights), **automatically)
    engine(tmp_path / "b", max_epochs=1).fit(further, datamodule=transfer(**SMALL))
    assert further.model.settings.n_prototypes == model.model.settings.n_prototypes
    assert len(further.model.noise) == further.model.settings.n_samples


def test_a_checkpoint_between_validations_has_a_number_that_suits_its_prompts(tmp_path: Path) -> None:
    found = {}

    class SaveEarly(Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            if not found:
                trainer.save_checkpoint(tmp_path / "early.ckpt")
                found["count"] = enough_samples(module.model, module._latest_images)

    trained(tmp_path, n_samples="auto", trainer={"callbacks": [SaveEarly()], "limit_val_batches": 0})
    assert read_checkpoint(tmp_path / "early.ckpt", "CoPS").settings["n_samples"] == found["count"]
    restored = CoPS.load_from_checkpoint(tmp_path / "early.ckpt")
    assert len(restored.model.noise) == restored.model.settings.n_samples == found["count"]


def test_images_are_compared_without_augmentations_and_without_masks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(prototype_search, "CANDIDATES", (1, 2))
    data = transfer(**SMALL, train_augmentations=RandomHorizontalFlip(), masks="none")
    assert trained(tmp_path, data, n_prototypes="auto").model.settings.n_prototypes in (1, 2)


def test_too_few_images_to_hold_some_out_are_refused() -> None:
    with pytest.raises(InputError, match="s/a and s/b have too few normal or anomalous images to hold some out"):
        held_out_rows(table(a=2, b=2), seed=0)


@pytest.mark.parametrize("name", ["n_prototypes", "n_samples"])
def test_other_values_are_refused(name: str) -> None:
    for number in (0, -3):
        with pytest.raises(InputError, match=f"CoPS: {name}={number} must be at least 1"):
            CoPS(backbone="tiny", **{name: number})
    for word in ("many", "", "Auto"):
        with pytest.raises(InputError, match=f"CoPS: {name}='{word}' must be a number of at least 1, or 'auto'"):
            CoPS(backbone="tiny", **{name: word})


def test_several_processes_are_refused(tmp_path: Path) -> None:
    # Lightning passes on what was raised in another process by an error of its own.
    with pytest.raises(Exception, match="InputError: n_prototypes='auto' chooses in one process, .* has 2"):
        trained(tmp_path, n_prototypes="auto", trainer={"devices": 2, "strategy": "ddp_fork"})


def test_data_without_categories_is_refused(tmp_path: Path) -> None:
    model = CoPS(backbone="tiny", visualizer=False, n_prototypes="auto")
    data = transfer(**SMALL)
    data.setup("fit")
    with pytest.raises(InputError, match="known of ZeroShotTransfer only"):
        engine(tmp_path, max_epochs=1).fit(model, train_dataloaders=data.train_dataloader())


def test_the_command_line_takes_auto(tmp_path: Path) -> None:
    values = {
        **{"model": "CoPS", "model.backbone": "tiny", "model.n_prototypes": "auto", "model.n_samples": "auto"},
        **{"model.visualizer": "False", "data": "ZeroShotTransfer", "data.synthetic_samples": 4},
        **{"data.synthetic_size": 64, "data.source_categories": "[leather,washer,tablet]", "data.num_workers": 0},
        **{"data.target_categories": "[carpet]", "trainer.max_epochs": 1, "trainer.accelerator": "cpu"},
    }
    arguments = [word for name, value in values.items() for word in (f"--{name}", str(value))]
    run = subprocess.run(
        [Path(sys.executable).with_name("anomalib"), "train", *arguments],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    (weights,) = tmp_path.rglob("*.safetensors")
    settings = read_weights(weights, "CoPS").settings
    assert settings["n_prototypes"] in prototype_search.CANDIDATES
    assert 1 <= settings["n_samples"] <= sample_count.MOST_SAMPLES
