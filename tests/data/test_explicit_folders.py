"""A data set whose folders are named one by one."""

from pathlib import Path

import pytest
import yaml
from anomalib.data import AnomalibDataModule

from anomalib_cops.data import ZeroShotTransfer
from anomalib_cops.data.sets.explicit_folders import ExplicitFolderSet
from anomalib_cops.errors import InputError
from tests.data.conftest import picture, save, spot


@pytest.fixture
def given(tmp_path: Path) -> dict[str, object]:
    """Folders of unusual names."""
    for number in range(3):
        save(tmp_path / "fine" / f"{number}.png", picture(number))
        save(tmp_path / "more fine" / "deep" / f"{number}.jpg", picture(20 + number))
        for kind in ("bent", "scratched"):
            save(tmp_path / kind / f"{number}.png", picture(100 + number))
            save(tmp_path / f"{kind} masks" / f"{number}.png", spot() // 255)
    return {
        "name": "mine",
        "root": str(tmp_path),
        "normal_dir": "fine",
        "normal_test_dir": ["more fine"],
        "abnormal_dir": "bent",
        "mask_dir": str(tmp_path / "bent masks"),
    }


def test_as_anomalib_s_folder(given: dict[str, object]) -> None:
    data = ZeroShotTransfer(target=given, synthetic_samples=4, num_workers=0)  # type: ignore[arg-type]
    data.setup()
    samples = data.test_data.samples
    assert data.targets == ["mine/mine"]
    assert samples["label"].tolist().count("good") == 6
    assert samples["label"].tolist().count("bent") == 3
    anomalous = data.test_data[samples["label_index"].tolist().index(1)]
    assert anomalous.gt_mask.sum() == (spot() > 0).sum()


def test_several_anomalous_folders_without_masks_and_one_suffix(given: dict[str, object]) -> None:
    several = {**given, "abnormal_dir": ["bent", "scratched"], "mask_dir": None, "extensions": [".PNG"]}
    samples = ExplicitFolderSet(several).samples("mine")
    assert sorted(samples["label"]) == ["bent"] * 3 + ["good"] * 3 + ["scratched"] * 3
    assert not samples["masked"].any()


def test_as_a_source_from_a_configuration_file(given: dict[str, object], tmp_path: Path) -> None:
    arguments = {"source": [given, "synthetic"], "target": "synthetic", "synthetic_samples": 4, "num_workers": 0}
    config = {"class_path": "anomalib_cops.data.ZeroShotTransfer", "init_args": arguments}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(config))
    data = AnomalibDataModule.from_config(tmp_path / "data.yaml")
    assert isinstance(data, ZeroShotTransfer)
    assert set(data.samples.loc[data.samples["split"] == "train", "set"]) == {"mine", "synthetic"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mask": "x"}, "takes no 'mask'; did you mean 'mask_dir'"),
        ({"name": None}, "needs 'name'; it takes name, normal_dir"),
        ({"abnormal_dir": "not there"}, r"abnormal_dir=\S*not there is not a folder"),
        ({"extensions": [".gif"]}, r"mine has no normal images; expected are \.gif files"),
        ({"mask_dir": "fine"}, None),
        ({"mask_dir": "more fine/deep"}, None),
        ({"mask_dir": "scratched masks", "abnormal_dir": ["bent", "more fine"]}, "mine has no mask for"),
    ],
)
def test_what_cannot_be_is_said(given: dict[str, object], changes: dict[str, object], said: str | None) -> None:
    if said is None:
        assert ExplicitFolderSet({**given, **changes}).samples("mine")["masked"].all()
        return
    with pytest.raises(InputError, match=said):
        ExplicitFolderSet({**given, **changes}).samples("mine")
