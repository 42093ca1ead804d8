"""Finding good and defect images and their masks in folders."""

import os
import shutil
from pathlib import Path

import pytest
from pandas import DataFrame

from anomalib_cops.data.sets.folder import FolderSet
from anomalib_cops.errors import InputError
from tests.data.conftest import MakeCategory, picture, save, spot


def names(samples: DataFrame) -> set[tuple[str, str, int, str]]:
    """File name, label, label index and name of the mask of each row."""
    columns = (samples["image_path"], samples["label"], samples["label_index"], samples["mask_path"])
    return {
        (Path(image).name, label, index, Path(mask).name if mask else "")
        for image, label, index, mask in zip(*columns, strict=True)
    }


def test_categories_of_a_set(tmp_path: Path, make_category: MakeCategory) -> None:
    make_category(tmp_path / "set" / "bolt", good=1, defect=2)
    make_category(tmp_path / "set" / "nut", good=3, defect=1, masks=False)
    (tmp_path / "set" / "notes").mkdir()
    found = FolderSet(tmp_path / "set")
    assert found.name == "set"
    assert found.categories == ("bolt", "nut")
    bolt, nut = found.samples("bolt"), found.samples("nut")
    assert names(bolt) == {("000.png", "good", 0, ""), *((f"00{n}.png", "defect", 1, f"00{n}.png") for n in range(2))}
    assert bolt["masked"].all()
    assert not nut["masked"].any()
    assert set(nut["category"]) == {"nut"}


def test_a_single_category_without_a_set(tmp_path: Path, make_category: MakeCategory) -> None:
    found = FolderSet(make_category(tmp_path / "bolt"))
    assert (found.name, found.categories) == ("bolt", ("bolt",))
    assert len(found.samples("bolt")) == 8


@pytest.mark.parametrize(("good", "bad", "mask"), [("normal", "Anomaly", "masks"), ("OK", "abnormal", "ground_truth")])
def test_synonyms_in_any_case(tmp_path: Path, make_category: MakeCategory, good: str, bad: str, mask: str) -> None:
    folder = make_category(tmp_path / "bolt", good=1, defect=1)
    for old, new in (("good", good), ("defect", bad), ("mask", mask)):
        (folder / old).rename(folder / new)
    samples = FolderSet(tmp_path).samples("bolt")
    assert names(samples) == {("000.png", "good", 0, ""), ("000.png", bad, 1, "000.png")}


def test_mvtec_layout_with_equal_names_in_several_kinds(tmp_path: Path) -> None:
    folder = tmp_path / "mvtec" / "bottle"
    save(folder / "train" / "good" / "000.png", picture(0))
    save(folder / "test" / "good" / "000.png", picture(1))
    for kind in ("crack", "stain"):
        save(folder / "test" / kind / "000.png", picture(2))
        save(folder / "ground_truth" / kind / "000_mask.png", spot())
    samples = FolderSet(tmp_path / "mvtec").samples("bottle")
    assert not samples["image_path"].str.contains("train").any()
    masks = dict(zip(samples["label"], samples["mask_path"], strict=True))
    assert masks["good"] == ""
    for kind in ("crack", "stain"):
        assert masks[kind] == str(folder / "ground_truth" / kind / "000_mask.png")


def test_masks_are_found_by_name_never_by_order(tmp_path: Path, make_category: MakeCategory) -> None:
    folder = make_category(tmp_path / "bolt", defect=0)
    for stem, mask in (("b", "b_mask.bmp"), ("a.v2", "a.v2.png"), ("c", "defect/c.png")):
        save(folder / "defect" / f"{stem}.jpg", picture(9))
        save(folder / "mask" / mask, spot())
    save(folder / "mask" / "0_of_another_image.png", spot())
    samples = FolderSet(folder).samples("bolt")
    found = {(image, mask) for image, _, index, mask in names(samples) if index}
    assert found == {("b.jpg", "b_mask.bmp"), ("a.v2.jpg", "a.v2.png"), ("c.jpg", "c.png")}


def test_missing_masks_are_named(tmp_path: Path, make_category: MakeCategory) -> None:
    folder = make_category(tmp_path / "bolt")
    (folder / "mask" / "002.png").unlink()
    with pytest.raises(InputError, match=r"bolt has no mask for \S*defect\S002\.png; add"):
        FolderSet(folder).samples("bolt")
    shutil.rmtree(folder / "mask")
    save(folder / "mask" / "unrelated.png", spot())
    with pytest.raises(InputError, match=r"002\.png and 1 more"):
        FolderSet(folder).samples("bolt")


@pytest.mark.parametrize(("absent", "said"), [("good", "no normal images"), ("defect", "no anomalous images")])
def test_a_label_without_images(tmp_path: Path, make_category: MakeCategory, absent: str, said: str) -> None:
    folder = make_category(tmp_path / "bolt", masks=False)
    (folder / "gut").mkdir()
    shutil.rmtree(folder / absent)
    with pytest.raises(InputError, match=f"bolt has {said}.*its folders are [a-z]+, gut"):
        FolderSet(folder).samples("bolt")
    (folder / absent).mkdir()
    (folder / absent / "notes.txt").write_text("none yet")
    save(folder / "mask" / "000.png", spot())
    with pytest.raises(InputError, match=f"bolt has {said}"):
        FolderSet(folder).samples("bolt")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no labelled images; expected are folders good and defect"):
        FolderSet(tmp_path)


def test_hidden_files_are_passed_over_and_links_followed(tmp_path: Path, make_category: MakeCategory) -> None:
    folder = make_category(tmp_path / "bolt", good=1, defect=1)
    other = make_category(tmp_path / "other", good=2)
    (folder / "good" / "._000.png").write_text("left by a file manager")
    os.symlink(other / "good", folder / "good" / "more")
    assert len(FolderSet(folder).samples("bolt")) == 4


def test_a_loop_of_links_is_named(tmp_path: Path, make_category: MakeCategory) -> None:
    folder = make_category(tmp_path / "bolt", good=1, defect=1)
    os.symlink(folder, folder / "good" / "again")
    with pytest.raises(InputError, match=r"the link \S*good/again\S* leads back to a folder"):
        FolderSet(folder).samples("bolt")
    (folder / "good" / "again").unlink()
    os.symlink(folder / "good" / "again", folder / "good" / "again")
    with pytest.raises(InputError, match=r"the link \S*good/again leads nowhere"):
        FolderSet(folder).samples("bolt")


def test_names_with_spaces_and_unicode(tmp_path: Path, make_category: MakeCategory) -> None:
    make_category(tmp_path / "größe 1" / "螺丝 m4", good=1, defect=1)
    found = FolderSet(tmp_path / "größe 1")
    assert found.categories == ("螺丝 m4",)
    assert all(Path(path).is_file() for path in found.samples("螺丝 m4")["image_path"])


def test_a_folder_without_permission_is_named(
    tmp_path: Path, make_category: MakeCategory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_category(tmp_path / "bolt")
    scandir = os.scandir

    def look(place: Path) -> object:
        if Path(place).name == "defect":
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr("anomalib_cops.data.sets.listing.os.scandir", look)
    with pytest.raises(InputError, match=r"the folder \S*bolt/defect cannot be listed \(Permission denied\)"):
        FolderSet(folder).samples("bolt")
