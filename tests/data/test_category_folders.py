"""Assignment of masks to images, and masks that belong to no image."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from anomalib_cops.data import ZeroShotTransfer
from anomalib_cops.data.sets.explicit_folders import ExplicitFolderSet
from anomalib_cops.data.sets.folder import FolderSet
from anomalib_cops.data.sets.meta import MetaSet
from anomalib_cops.errors import InputError
from tests.data.conftest import MakeCategory, picture, save, spot


def given(folder: Path, **arguments: object) -> ExplicitFolderSet:
    """Return the same category with explicit folders."""
    return ExplicitFolderSet(
        {
            "name": "mine",
            "normal_dir": str(folder / "good"),
            "abnormal_dir": str(folder / "defect"),
            "mask_dir": str(folder / "mask"),
            **arguments,
        }
    )


def matched(folder: Path, **arguments: object) -> dict[str, str]:
    """Return the mask of each anomalous image, which is the same by layout and with explicit folders."""
    tables = [FolderSet(folder).samples(folder.name), given(folder, **arguments).samples("mine")]
    found = []
    for samples in tables:
        bad = samples[samples["label_index"] == 1]
        paths = zip(bad["image_path"], bad["mask_path"], strict=True)
        found.append({Path(image).relative_to(folder).as_posix(): Path(mask).name for image, mask in paths})
    assert found[0] == found[1]
    return found[0]


@pytest.fixture
def folder(tmp_path: Path, make_category: MakeCategory) -> Path:
    """A category without masks, but with a folder for them."""
    folder = make_category(tmp_path / "bolt", masks=False)
    (folder / "mask").mkdir()
    return folder


def test_a_folder_of_masks_without_masks_is_not_passed_over(folder: Path) -> None:
    for make in (lambda: FolderSet(folder).samples("bolt"), lambda: given(folder).samples("mine")):
        with pytest.raises(InputError, match=r"bolt/mask holds no masks, as it is empty; expected are \.png"):
            make()
    np.save(folder / "mask" / "000.npy", spot())
    (folder / "mask" / "notes.txt").write_text("masks")
    for make in (lambda: FolderSet(folder).samples("bolt"), lambda: given(folder).samples("mine")):
        with pytest.raises(InputError, match=r"holds no masks, but 1 \.npy file, 1 \.txt file; expected are \.png"):
            make()


def test_masks_that_a_suffix_hides(tmp_path: Path, make_category: MakeCategory) -> None:
    folder = make_category(tmp_path / "bolt")
    for kind in ("good", "defect"):
        for number in range(2):
            save(folder / kind / f"1{number}.jpg", picture(number))
    with pytest.raises(InputError, match=r"mask holds no masks, but 4 \.png files; expected are \.jpg files"):
        given(folder, extensions=".jpg").samples("mine")
    assert given(folder, extensions="png").samples("mine")["masked"].all()


def test_masks_of_other_names_are_named(folder: Path) -> None:
    for number in range(5):
        save(folder / "mask" / f"segmentation of {number}.png", spot())
    said = (
        r"has no mask for \S+000\.png, .* 1 more; there are masks named segmentation of 0\.png, .* and 2 more, and that"
    )
    with pytest.raises(InputError, match=f"bolt {said} of NAME.png is called NAME, NAME_mask"):
        FolderSet(folder).samples("bolt")
    with pytest.raises(InputError, match=f"mine {said}"):
        given(folder).samples("mine")


def test_masks_in_other_sub_folders_than_their_images_match_by_name_if_that_is_sure(folder: Path) -> None:
    for number in range(4):
        save(folder / "mask" / "batch 1" / "png" / f"{number:03d}_mask.png", spot())
    assert matched(folder) == {f"defect/{number:03d}.png": f"{number:03d}_mask.png" for number in range(4)}
    save(folder / "mask" / "batch 2" / "003.png", spot())
    with pytest.raises(InputError, match=r"no mask for \S+defect/003\.png; add"):
        FolderSet(folder).samples("bolt")


def test_a_mask_is_not_given_to_the_image_of_equal_name_in_another_folder(tmp_path: Path) -> None:
    folder = tmp_path / "bolt"
    save(folder / "good" / "000.png", picture(0))
    for kind in ("bent", "cut"):
        save(folder / "defect" / kind / "000.png", picture(1))
    save(folder / "mask" / "bent" / "000.png", spot())
    with pytest.raises(InputError, match=r"no mask for \S+defect/cut/000\.png; add"):
        FolderSet(folder).samples("bolt")


def test_masks_inside_the_folder_of_anomalous_images(tmp_path: Path, make_category: MakeCategory) -> None:
    folder = make_category(tmp_path / "bolt")
    shutil.move(folder / "mask", folder / "defect" / "mask")
    samples = given(folder, mask_dir=str(folder / "defect" / "mask")).samples("mine")
    assert samples["label_index"].sum() == 4 and samples["masked"].all()


def test_an_image_that_is_normal_and_anomalous(tmp_path: Path, make_category: MakeCategory) -> None:
    folder = make_category(tmp_path / "bolt", masks=False)
    with pytest.raises(InputError, match=r"mine has \S+000\.png, .* 1 more among the normal and the anomalous images"):
        given(folder, normal_dir=str(folder / "defect"), mask_dir=None).samples("mine")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("OK", "NG"),
        ("ok", "nok"),
        ("Normal", "ABNORMAL"),
        ("pass", "fail"),
        ("0", "1"),
        ("good", "bad"),
        ("OK", "not_OK"),
    ],
)
def test_usual_names_in_any_case(tmp_path: Path, make_category: MakeCategory, good: str, bad: str) -> None:
    folder = make_category(tmp_path / "bolt", good=2, defect=3)
    (folder / "good").rename(folder / good)
    (folder / "defect").rename(folder / bad)
    for place, masked in ((tmp_path, True), (folder, False)):
        samples = FolderSet(place).samples("bolt")
        assert samples["label_index"].tolist() == [0, 0, 1, 1, 1]
        assert samples["masked"].all() == masked
        shutil.rmtree(folder / "mask", ignore_errors=True)


def test_several_folders_of_one_label_are_all_read(tmp_path: Path, make_category: MakeCategory) -> None:
    folder = make_category(tmp_path / "bolt", good=2, defect=3)
    save(folder / "ok" / "9.png", picture(9))
    save(folder / "NG" / "8.png", picture(8))
    save(folder / "mask" / "8.png", spot())
    assert FolderSet(folder).samples("bolt")["label_index"].value_counts().to_dict() == {0: 3, 1: 4}


def test_numbers_are_labels_only_where_there_are_two(tmp_path: Path, make_category: MakeCategory) -> None:
    for name in ("0", "1"):
        make_category(tmp_path / "lines" / name)
    assert FolderSet(tmp_path / "lines").categories == ("0", "1")
    for name in ("0", "1", "2"):
        save(tmp_path / "kinds" / name / "a.png", picture(1))
    with pytest.raises(InputError, match="but its folders are 0, 1, 2; rename them, or name them one by one"):
        FolderSet(tmp_path / "kinds")


def test_folders_that_are_not_recognised_are_named(
    tmp_path: Path, make_category: MakeCategory, caplog: pytest.LogCaptureFixture
) -> None:
    make_category(tmp_path / "set" / "bolt")
    save(tmp_path / "set" / "nut" / "gut" / "0.png", picture(0))
    save(tmp_path / "set" / "nut" / "schlecht" / "0.png", picture(1))
    save(tmp_path / "set" / "bolt" / "gut" / "0.png", picture(0))
    (tmp_path / "set" / "notes").mkdir()
    shutil.rmtree(tmp_path / "set" / "bolt" / "good")
    with caplog.at_level(logging.WARNING):
        found = FolderSet(tmp_path / "set")
        assert found.categories == ("bolt",)
        found.samples("bolt")
    left_out, only_pixels = caplog.messages
    assert "set/nut is left out as no category is recognised in it: its folders are gut, schlecht" in left_out
    assert "No folder of normal images" in only_pixels and "its folders are defect, gut, mask" in only_pixels


@pytest.fixture
def only_anomalous(tmp_path: Path, make_category: MakeCategory) -> dict[str, object]:
    """The same images by layout, with explicit folders, and in a list."""
    folder = make_category(tmp_path / "scans", good=0)
    entries = [
        {"img_path": f"defect/{number:03d}.png", "mask_path": f"mask/{number:03d}.png", "anomaly": 1}
        for number in range(4)
    ]
    (folder / "meta.json").write_text(json.dumps({"test": {"scans": entries}}))
    return {
        "folder": str(folder),
        "given": {"name": "scans", "abnormal_dir": str(folder / "defect"), "mask_dir": str(folder / "mask")},
        "meta": f"meta:{folder}",
    }


@pytest.mark.parametrize("kind", ["folder", "given", "meta"])
def test_anomalous_images_alone_are_a_target_but_no_source(
    only_anomalous: dict[str, object], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = ZeroShotTransfer(target=only_anomalous[kind], synthetic_samples=4, num_workers=0)  # type: ignore[arg-type]
    data.setup()
    assert data.test_data.samples["label_index"].tolist() == [1, 1, 1, 1]
    assert all(data.test_data[index].gt_mask.sum() == 12 for index in range(4))
    assert not caplog.messages
    data = ZeroShotTransfer(source=only_anomalous[kind], synthetic_samples=4)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="scans has no normal images, and training needs normal and anomalous ones"):
        data.setup()


def test_without_masks_normal_images_are_needed(tmp_path: Path, make_category: MakeCategory) -> None:
    folder = make_category(tmp_path / "bolt", good=0, masks=False)
    with pytest.raises(InputError, match="bolt has no normal images; expected are .*; its folders are defect"):
        FolderSet(folder).samples("bolt")
    with pytest.raises(InputError, match="needs 'normal_dir', or 'mask_dir' to be measured by pixels alone"):
        given(folder, normal_dir=None, mask_dir="")


def test_a_listed_mask_that_is_no_image(tmp_path: Path, make_category: MakeCategory) -> None:
    folder = make_category(tmp_path / "bolt", masks=False)
    np.save(folder / "000.npy", spot())
    entry = {"img_path": "defect/000.png", "mask_path": "000.npy", "anomaly": 1}
    (folder / "meta.json").write_text(json.dumps({"test": {"bolt": [entry]}}))
    with pytest.raises(InputError, match=r"names \S+000\.npy, which is no image; expected are \.png"):
        MetaSet(folder).samples("bolt")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"source": ""}, "a source or target is empty"),
        ({"target": ["synthetic", ""]}, "a source or target is empty"),
        ({"target": "meta:"}, "a source or target is empty"),
        ({"source_categories": []}, "source_categories is an empty list; name at least one, or leave it out"),
        ({"target_categories": []}, "target_categories is an empty list"),
        (
            {"target": {"name": "x", "normal_dir": "", "abnormal_dir": [""], "mask_dir": "y"}},
            "abnormal_dir=.* is not understood",
        ),
        (
            {"target": {"name": "x", "normal_dir": ".", "abnormal_dir": ".", "extensions": [""]}},
            "extensions=.* has an empty one",
        ),
        ({"mask_values": []}, "mask_values=.* is not understood"),
    ],
)
def test_empty_is_not_taken_for_something(arguments: dict[str, object], said: str) -> None:
    data = ZeroShotTransfer(**arguments)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=said):
        data.setup()
