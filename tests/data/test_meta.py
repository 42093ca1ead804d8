"""Lists made for the official repositories."""

import json
from pathlib import Path

import numpy as np
import pytest

from anomalib_cops.data import ZeroShotTransfer
from anomalib_cops.data.sets.meta import MetaSet
from anomalib_cops.errors import InputError
from tests.data.conftest import MakeCategory, save, spot


@pytest.fixture
def listed(tmp_path: Path, make_category: MakeCategory) -> Path:
    """A list of two categories, the second with absolute paths and without masks."""
    folder = tmp_path / "prepared"
    make_category(folder / "bolt", good=2, defect=2)
    make_category(folder / "scan", good=1, defect=1, masks=False)

    def entries(category: str, base: str, masks: bool) -> list[dict[str, object]]:
        good, bad = (sorted((folder / category / kind).iterdir()) for kind in ("good", "defect"))
        return [
            {
                "img_path": f"{base}{category}/{image.parent.name}/{image.name}",
                "mask_path": f"{base}{category}/mask/{image.name}" if image in bad and masks else "",
                "cls_name": category,
                "specie_name": "bent" if image in bad else "",
                "anomaly": int(image in bad),
            }
            for image in (*good, *bad)
        ]

    content = {
        "train": {"bolt": [{"img_path": "never/read.png"}]},
        "test": {"bolt": entries("bolt", "", True), "scan": entries("scan", f"{folder}/", False)},
    }
    (folder / "meta.json").write_text(json.dumps(content))
    return folder / "meta.json"


def change(listed: Path, **values: object) -> None:
    """Change the first anomalous entry of bolt."""
    content = json.loads(listed.read_text())
    content["test"]["bolt"][2].update(values)
    listed.write_text(json.dumps(content))


def test_the_labelled_part_is_read(listed: Path) -> None:
    for path in (listed, listed.parent):
        found = MetaSet(path)
        assert (found.name, found.categories) == ("prepared", ("bolt", "scan"))
    bolt, scan = found.samples("bolt"), found.samples("scan")
    assert bolt["label"].tolist() == ["good", "good", "bent", "bent"]
    assert [Path(mask).name for mask in bolt["mask_path"]] == ["", "", "000.png", "001.png"]
    assert bolt["masked"].all() and not scan["masked"].any()
    assert scan["label_index"].tolist() == [0, 1]


def test_as_a_target_masks_count_from_grey_level_one(listed: Path) -> None:
    save(listed.parent / "bolt" / "mask" / "000.png", spot() // 255)
    data = ZeroShotTransfer(target=f"meta:{listed}", synthetic_samples=4, num_workers=0)
    assert data.targets == ["prepared/bolt", "prepared/scan"]
    rows = data.samples
    assert (rows["set"] == "prepared").sum() == 6
    masks = {Path(item.image_path).name: item.gt_mask for item in map(data.test_data.__getitem__, (0, 1))}
    np.testing.assert_array_equal(masks["000.png"], spot() > 0)


def test_a_list_with_splits_in_capitals(listed: Path) -> None:
    content = json.loads(listed.read_text())
    listed.write_text(json.dumps({"Train": {}, "Test": content["test"]}))
    assert MetaSet(listed).categories == ("bolt", "scan")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"img_path": "bolt/defect/9.png"}, r"meta\.json names \S*bolt/defect/9\.png, which does not exist"),
        ({"img_path": "/elsewhere/9.png"}, r"meta\.json names /elsewhere/9\.png, which does not exist"),
        ({"anomaly": "perhaps"}, r"an entry of bolt in \S*meta\.json cannot be used"),
        ({"mask_path": "bolt/mask/9.png"}, r"meta\.json names \S*mask/9\.png, which does not exist"),
        ({"mask_path": ""}, r"meta\.json, bolt, has no mask for \S*defect/000\.png"),
        ({"mask_path": "bolt"}, r"meta\.json, bolt, has no mask for \S*defect/000\.png"),
    ],
)
def test_entries_that_cannot_be_used(listed: Path, values: dict[str, object], said: str) -> None:
    change(listed, **values)
    with pytest.raises(InputError, match=said):
        MetaSet(listed).samples("bolt")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"test": []}', '{"train": {"a": []}}', "[" * 10])
def test_lists_that_are_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "meta.json").write_text(content)
    with pytest.raises(InputError, match=r"meta\.json (cannot be read as JSON|has no categories under 'test')"):
        ZeroShotTransfer(target=f"meta:{tmp_path / 'meta.json'}").setup()
    with pytest.raises(InputError, match="cannot be read as JSON"):
        ZeroShotTransfer(target="meta:not/there.json").setup()
