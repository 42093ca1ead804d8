"""Transfer from one data set to others."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from anomalib.data import AnomalibDataModule
from torchvision.transforms.v2 import Compose, Normalize, RandomHorizontalFlip, Resize

from anomalib_cops.data import ZeroShotTransfer, synthetic
from anomalib_cops.errors import InputError
from tests.data.conftest import MakeCategory, picture, save, spot


@pytest.fixture
def sets(tmp_path: Path, make_category: MakeCategory) -> Path:
    """Three data sets: tools (two categories), parts (one), scans (without masks)."""
    for name in ("tools/bolt", "tools/nut"):
        make_category(tmp_path / name, good=10, defect=8)
    make_category(tmp_path / "parts" / "washer")
    make_category(tmp_path / "scans" / "head", masks=False)
    return tmp_path


def transfer(folder: Path, **arguments: object) -> ZeroShotTransfer:
    """From tools to parts, in this process, with other arguments where given."""
    arguments = {"source": str(folder / "tools"), "target": str(folder / "parts"), "num_workers": 0, **arguments}
    datamodule = ZeroShotTransfer(**arguments)  # type: ignore[arg-type]
    datamodule.setup()
    return datamodule


def published(root: Path, category: str, bad: str) -> None:
    """A category in the layout in which anomalib keeps published data sets."""
    for number in range(3):
        save(root / category / "train" / "good" / f"{number}.png", picture(50))
        save(root / category / "test" / "good" / f"{number}.png", picture(number))
        save(root / category / "test" / bad / f"{number}.png", picture(100 + number))
        save(root / category / "ground_truth" / bad / f"{number}_mask.png", spot())


def test_splits_are_disjoint_and_the_source_s_is_divided_by_category_and_label(sets: Path) -> None:
    samples = transfer(sets, val_fraction=0.25).samples
    assert samples["image_path"].is_unique
    assert set(samples.loc[samples["split"] == "test", "set"]) == {"parts"}
    assert set(samples.loc[samples["split"] != "test", "set"]) == {"tools"}
    counts = samples[samples["set"] == "tools"].groupby(["split", "category", "label_index"]).size()
    for category in ("bolt", "nut"):
        assert counts["train", category].tolist() == [8, 6]
        assert counts["val", category].tolist() == [2, 2]


def test_the_held_out_part_depends_on_the_seed_only(sets: Path) -> None:
    held_out = [set(transfer(sets, seed=seed).val_data.samples["image_path"]) for seed in (1, 1, 2)]
    assert held_out[0] == held_out[1] != held_out[2]


def test_the_order_of_training_depends_on_the_seed_only(sets: Path) -> None:
    orders = []
    for seed in (1, 1, 2):
        loader = transfer(sets, seed=seed).train_dataloader()
        torch.rand(seed + len(orders))
        orders.append([[path for batch in loader for path in batch.image_path] for _ in range(2)])
    assert orders[0] == orders[1] != orders[2]
    first, second = orders[0]
    assert first != second
    assert sorted(first) == sorted(second)


def test_batches_have_the_model_s_size_whatever_the_files_have(sets: Path) -> None:
    save(sets / "parts" / "washer" / "good" / "wide.png", picture(5, (20, 40)))
    datamodule = transfer(sets)
    transform = Compose([Resize((16, 16)), Normalize([0.5] * 3, [0.5] * 3)])
    datamodule.trainer = SimpleNamespace(model=SimpleNamespace(pre_processor=SimpleNamespace(transform=transform)))
    datamodule.setup()
    for loader in (datamodule.train_dataloader(), datamodule.val_dataloader(), datamodule.test_dataloader()):
        for batch in loader:
            assert batch.image.shape[-2:] == batch.gt_mask.shape[-2:] == (16, 16)
    assert datamodule.target_datasets["parts/washer"][0].image.shape == (3, 16, 16)


def test_targets_with_and_without_masks_never_share_a_batch(sets: Path) -> None:
    datamodule = transfer(sets, target=[str(sets / "parts"), str(sets / "scans")], eval_batch_size=5)
    assert datamodule.targets == ["parts/washer", "scans/head"]
    loaders = datamodule.test_dataloader()
    seen = [
        (Path(path).parts[-4], batch.gt_mask is None) for part in loaders for batch in part for path in batch.image_path
    ]
    assert seen == [("parts", False)] * 8 + [("scans", True)] * 8


def test_one_target_alone(sets: Path) -> None:
    datamodule = transfer(sets, source=str(sets / "parts"), target=[str(sets / "tools"), str(sets / "scans")])
    lengths = {key: len(part) for key, part in datamodule.target_datasets.items()}
    assert lengths == {"tools/bolt": 18, "tools/nut": 18, "scans/head": 8}
    single = datamodule.only("tools/nut")
    assert set(single.samples.loc[single.samples["split"] == "test", "category"]) == {"nut"}
    assert single.category == "tools/nut"
    assert len(datamodule.test_data) == 44
    assert single.val_data.samples.equals(datamodule.val_data.samples)
    with pytest.raises(InputError, match="'nut' is not among the targets; they are tools/bolt"):
        datamodule.only("nut")


def test_synthetic_to_synthetic_divides_the_categories() -> None:
    datamodule = ZeroShotTransfer(synthetic_samples=4, synthetic_size=32, num_workers=0)
    samples = datamodule.samples
    tested = set(samples.loc[samples["split"] == "test", "category"])
    trained = set(samples.loc[samples["split"] != "test", "category"])
    assert trained == set(synthetic.CATEGORIES[::2])
    assert tested == set(synthetic.CATEGORIES[1::2])
    batch = next(iter(datamodule.val_dataloader()))
    assert batch.image.shape == (8, 3, 32, 32)
    assert batch.gt_mask.flatten(1).any(dim=1).tolist() == batch.gt_label.tolist()


def test_synthetic_to_synthetic_with_categories_named_on_one_side() -> None:
    testing = ZeroShotTransfer(target_categories=["gear", "leather"])
    assert testing.targets == ["synthetic/leather", "synthetic/gear"]
    training = ZeroShotTransfer(source_categories=["gear"])
    assert len(training.targets) == len(synthetic.CATEGORIES) - 1
    assert "synthetic/gear" not in training.targets
    samples = ZeroShotTransfer(target_categories=["gear"], synthetic_samples=4).samples
    assert samples.loc[samples["split"] == "train", "category"].nunique() == len(synthetic.CATEGORIES) - 1
    both = ZeroShotTransfer(source_categories=["gear", "wood"], target_categories=["gear"])
    with pytest.raises(InputError, match="categories gear of synthetic would be both trained on and tested on"):
        both.setup()


def test_the_same_data_on_both_sides_is_refused(sets: Path, make_category: MakeCategory) -> None:
    tools = str(sets / "tools")
    with pytest.raises(InputError, match="categories bolt, nut of tools would be both trained on and tested on"):
        transfer(sets, target=[str(sets / "parts"), tools + "/"])
    apart = transfer(sets, target=tools, source_categories=["bolt"], target_categories=["nut"])
    assert apart.targets == ["tools/nut"]
    make_category(sets / "linked" / "other")
    (sets / "linked" / "other" / "good" / "link.png").symlink_to(sets / "tools" / "nut" / "good" / "000.png")
    for place in ("tools/bolt", "linked"):
        with pytest.raises(InputError, match=r"images \(\S+ is one\) would be both trained on and tested on"):
            transfer(sets, target=str(sets / place))


def test_a_source_needs_two_images_of_each_label(sets: Path, make_category: MakeCategory) -> None:
    make_category(sets / "poor" / "bolt", good=3, defect=1)
    with pytest.raises(InputError, match="at least two anomalous images"):
        transfer(sets, source=str(sets / "poor"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"target": "mvtce"}, "no data set or folder named 'mvtce'; did you mean 'mvtec'"),
        ({"source": "not/there"}, "folder not/there does not exist"),
        ({"target": "visa", "target_categories": ["candel"]}, "no category 'candel' in visa; did you mean 'candle'"),
        ({"target": ["visa", "mvtec"], "target_categories": ["candle"]}, "mvtec has none of the categories candle"),
        ({"source_categories": ["geer"]}, "no category 'geer' in synthetic; did you mean 'gear'"),
        ({"target": []}, "target is an empty list"),
        ({"target": ["visa", "VisA"]}, "two targets are named visa"),
        ({"synthetic_samples": 3}, "synthetic_samples=3 is too few"),
        ({"val_fraction": 1.0}, "val_fraction=1.0 is not between 0 and 1"),
        ({"target_categories": list(synthetic.CATEGORIES)}, "no category of synthetic is left"),
    ],
)
def test_what_cannot_be_is_said_at_setup(arguments: dict[str, object], said: str) -> None:
    # The constructor has to accept it, since anomalib's command line buries what constructors say.
    datamodule = ZeroShotTransfer(**arguments)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=said):
        datamodule.setup()


def test_a_file_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="image.png is a file, not a data set"):
        transfer(tmp_path, source="synthetic", target=str(save(tmp_path / "image.png", picture(1))))


def test_published_sets_are_read_by_anomalib(tmp_path: Path) -> None:
    published(tmp_path / "MVTecAD", "bottle", "crack")
    published(tmp_path / "visa" / "visa_pytorch", "candle", "bad")
    datamodule = ZeroShotTransfer(
        source="MVTecAD",
        target="visa",
        source_categories=["bottle"],
        target_categories=["candle"],
        root=str(tmp_path),
        num_workers=0,
    )
    datamodule.setup()
    samples = datamodule.samples
    assert not samples["image_path"].str.contains("train").any()
    assert samples.groupby(["split", "set", "label"]).size().to_dict() == {
        ("train", "mvtec", "crack"): 2,
        ("train", "mvtec", "good"): 2,
        ("val", "mvtec", "crack"): 1,
        ("val", "mvtec", "good"): 1,
        ("test", "visa", "bad"): 3,
        ("test", "visa", "good"): 3,
    }
    np.testing.assert_array_equal(datamodule.test_data[0].gt_mask, spot() > 0)


def test_absent_published_sets_are_said_to_be_expected_somewhere(tmp_path: Path) -> None:
    published(tmp_path / "MVTecAD", "bottle", "crack")
    datamodule = ZeroShotTransfer(target="mvtec", target_categories=["bottle", "zipper"], root=str(tmp_path))
    with pytest.raises(InputError, match=r"expected in .*MVTecAD.zipper, .* get it from https://www\.mvtec\.com"):
        datamodule.setup()
    (tmp_path / "MVTecAD" / "bottle" / "ground_truth" / "crack" / "1_mask.png").rename(tmp_path / "gone.png")
    datamodule = ZeroShotTransfer(target="mvtec", target_categories=["bottle"], root=str(tmp_path))
    with pytest.raises(InputError, match="MVTecAD.bottle cannot be read"):
        datamodule.setup()


def test_made_from_a_configuration_file(sets: Path) -> None:
    arguments = {"source": str(sets / "tools"), "target": ["synthetic", str(sets / "scans")], "synthetic_samples": 4}
    config = {"class_path": "anomalib_cops.data.ZeroShotTransfer", "init_args": {**arguments, "num_workers": 0}}
    (sets / "data.yaml").write_text(yaml.safe_dump(config))
    datamodule = AnomalibDataModule.from_config(sets / "data.yaml")
    assert isinstance(datamodule, ZeroShotTransfer)
    assert datamodule.targets[-1] == "scans/head"
    assert datamodule.name == "ZeroShotTransfer"


def test_the_number_of_worker_processes_does_not_change_a_batch(sets: Path) -> None:
    epochs = []
    for workers in (0, 1):
        loader = transfer(sets, num_workers=workers, val_fraction=0.8).train_dataloader()
        epochs.append([(batch.image_path, batch.image) for batch in loader])
    for (paths, images), (other_paths, other_images) in zip(*epochs, strict=True):
        assert paths == other_paths
        assert torch.equal(images, other_images)


def test_augmentations_move_image_and_mask_of_the_training_part_alone(sets: Path) -> None:
    plain = transfer(sets)
    turned = transfer(sets, train_augmentations=RandomHorizontalFlip(p=1))
    row = plain.train_data.samples.label_index.tolist().index(1)
    one, other = plain.train_data[row], turned.train_data[row]
    assert torch.equal(one.image.flip(-1), other.image)
    assert torch.equal(one.gt_mask.flip(-1), other.gt_mask) and not torch.equal(one.gt_mask, other.gt_mask)
    assert torch.equal(plain.test_data[0].image, turned.test_data[0].image)
    assert turned.val_data.augmentations is None


def test_the_level_of_synthetic_defects_is_in_their_addresses(sets: Path) -> None:
    data = transfer(sets, target="synthetic", synthetic_samples=4, synthetic_level="easy")
    assert data.test_data.samples.image_path.str.contains("-easy/").all()
    with pytest.raises(InputError, match="unknown level 'eas' .*'easy'"):
        transfer(sets, target="synthetic", synthetic_level="eas")
