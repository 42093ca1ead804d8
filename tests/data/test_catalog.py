"""Every declared data set, in every layout that is declared of it, in miniature."""

from pathlib import Path

import pytest
import torch
from anomalib.engine import Engine

from anomalib_cops import CoPS
from anomalib_cops.data import ZeroShotTransfer, discover
from anomalib_cops.data.sets.catalog import CATALOG
from anomalib_cops.data.sets.declaration import Declaration, Layout
from anomalib_cops.data.sets.find import find_declaration
from anomalib_cops.data.sets.published_set import PublishedSet
from anomalib_cops.errors import InputError
from tests.data.conftest import MakeCategory, picture, save, spot
from tests.data.replicas import EACH, LAYOUTS, NAMES, build

PAPER = {
    *("mvtec", "visa", "btad", "mpdd", "dtd_synthetic", "headct", "brainmri", "br35h", "isic"),
    *("cvc_colondb", "cvc_clinicdb", "kvasir", "endo"),
}


def test_the_thirteen_sets_of_the_paper_are_there() -> None:
    assert set(CATALOG) >= PAPER
    industrial = {name for name in PAPER if CATALOG[name].domain == "industrial"}
    assert len(industrial) == 5
    image_only = {name for name in PAPER if CATALOG[name].metrics == ("image",)}
    pixel_only = {name for name in PAPER if CATALOG[name].metrics == ("pixel",)}
    assert image_only == {"headct", "brainmri", "br35h"}
    assert pixel_only == {"isic", "cvc_colondb", "cvc_clinicdb", "kvasir", "endo"}


@pytest.mark.parametrize(("declared", "layout"), LAYOUTS, ids=NAMES)
def test_a_replica_is_found_and_read(tmp_path: Path, declared: Declaration, layout: Layout) -> None:
    build(declared, layout, tmp_path)
    assert discover(tmp_path) == (declared.name,)
    found = PublishedSet(declared, tmp_path)
    assert found.categories == (declared.categories or (declared.class_name,))
    for category in found.categories:
        samples = found.samples(category)
        normal, anomalous = ((samples["label_index"] == label).sum() for label in (0, 1))
        # anomalib trains on four fifths of KolektorSDD's normal images.
        assert normal == (EACH if declared.name != "sdd" else 1) * declared.has_normal
        assert anomalous == EACH
        assert samples["masked"].all() == declared.has_masks
        masks = samples.loc[samples["label_index"] == 1, "mask_path"]
        assert (masks != "").all() == declared.has_masks
        assert masks.is_unique or not declared.has_masks
        assert all(Path(path).is_file() for path in (*samples["image_path"], *masks[masks != ""]))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All data sets, each in its first layout."""
    root = tmp_path_factory.mktemp("sets")
    for declared in CATALOG.values():
        build(declared, declared.layouts[0], root)
    return root


@pytest.fixture(scope="module")
def model() -> CoPS:
    """An untrained one, on the tiny backbone."""
    return CoPS(backbone="tiny", visualizer=False)


@pytest.mark.parametrize("name", [name for name in CATALOG if CATALOG[name].has_masks])
def test_a_step_of_training_on_each_set_with_masks(sets: Path, model: CoPS, name: str) -> None:
    # Sets without normal images train beside another, as AdaCLIP's authors do with CVC-ColonDB.
    source = [name] if CATALOG[name].has_normal else [name, "mvtec"]
    source += ["btad"] if name == "sdd" else []
    data = ZeroShotTransfer(source=source, target="synthetic", root=str(sets), num_workers=0, val_fraction=0.4)
    data.setup()
    assert set(data.train_data.samples["set"]) == set(source)
    own = data.train_data.samples["set"] == name
    items = [data.train_data[int(row)] for row in own[own].index[:2]]
    for item in items:
        item.image, item.gt_mask = model.pre_processor.transform(item.image, item.gt_mask)
    batch = data.train_data.collate_fn(items)
    assert batch.gt_mask.flatten(1).any(dim=1).tolist() == batch.gt_label.tolist()
    model.train()
    loss = model.training_step(batch, 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.model.parameters())
    model.zero_grad()


def test_all_sets_at_once_as_targets(sets: Path) -> None:
    names = [name for name in CATALOG if name != "mvtec"]
    data = ZeroShotTransfer(source="mvtec", target=names, root=str(sets), num_workers=0)
    samples = data.samples
    tested = samples[samples["split"] == "test"]
    assert set(tested["set"]) == set(names)
    assert len(data.targets) == sum(len(CATALOG[name].categories) or 1 for name in names)
    assert len(data.test_dataloader()) == 2


@pytest.mark.parametrize("name", CATALOG)
def test_each_set_is_tested_and_only_what_its_labels_allow_is_measured(
    sets: Path, model: CoPS, tmp_path: Path, name: str
) -> None:
    image, pixel = (level in CATALOG[name].metrics for level in ("image", "pixel"))
    data = ZeroShotTransfer(source="synthetic", synthetic_samples=4, target=name, root=str(sets), num_workers=0)
    engine = Engine(default_root_dir=tmp_path, logger=False, accelerator="cpu", devices=1, barebones=False)
    figures = engine.test(model, datamodule=data.only(data.targets[0]), verbose=False)[0]
    measured = {key for key, figure in figures.items() if figure is not None}
    assert measured == {
        *(f"image_{metric}" for metric in ("AUROC", "AUPR", "F1Max") if image),
        *(f"pixel_{metric}" for metric in ("AUROC", "AUPR", "AUPRO") if pixel),
    }


def test_a_set_of_the_catalogue_as_a_plain_folder(tmp_path: Path, make_category: MakeCategory) -> None:
    make_category(tmp_path / "Head CT" / "anything", masks=False)
    make_category(tmp_path / "mvtec" / "bottle")
    assert set(discover(tmp_path)) == {"headct", "mvtec"}
    data = ZeroShotTransfer(target="headct", root=str(tmp_path), synthetic_samples=4, num_workers=0)
    assert data.targets == ["headct/brain"]
    assert PublishedSet(CATALOG["mvtec"], tmp_path).categories == ("bottle",)


def test_names_of_folders_are_recognised_in_any_spelling() -> None:
    for name, spelling in (("btad", "BTech"), ("cvc_colondb", "CVC-ColonDB"), ("headct", "head_ct"), ("visa", "VisA")):
        declared = find_declaration(spelling)
        assert declared is not None and declared.name == name
    assert find_declaration("some/visa") is None


def test_masks_of_published_sets_count_from_grey_level_one(tmp_path: Path) -> None:
    declared = CATALOG["visa"]
    build(declared, declared.layouts[2], tmp_path)
    data = ZeroShotTransfer(
        target="visa", target_categories=["pcb1"], root=str(tmp_path), synthetic_samples=4, num_workers=0
    )
    data.setup()
    anomalous = data.test_data.samples.label_index.tolist().index(1)
    assert int(data.test_data[anomalous].gt_mask.sum()) == int((spot() > 0).sum())


def test_a_normal_image_stays_so_whatever_its_mask_says(tmp_path: Path) -> None:
    folder = build(CATALOG["dtd_synthetic"], CATALOG["dtd_synthetic"].layouts[0], tmp_path) / "Mesh_114"
    good = next((folder / "test" / "good").iterdir())
    save(folder / "ground_truth" / "good" / good.name, spot())
    data = ZeroShotTransfer(
        target="dtd_synthetic", target_categories=["Mesh_114"], root=str(tmp_path), synthetic_samples=4, num_workers=0
    )
    data.setup()
    row = data.test_data.samples.image_path.tolist().index(str(good))
    item = data.test_data[row]
    assert item.mask_path and not item.gt_mask.any() and not item.gt_label
    assert item.mask_path == str(folder / "ground_truth" / "good" / good.name)


def test_a_pair_of_names_on_both_sides_is_warned_of(
    sets: Path, tmp_path: Path, make_category: MakeCategory, caplog: pytest.LogCaptureFixture
) -> None:
    make_category(tmp_path / "mine" / "bottle", good=2, defect=2)
    ZeroShotTransfer(source="mvtec", target=str(tmp_path / "mine"), root=str(sets)).setup()
    assert "'bottle' is trained on in mvtec and tested on in mine" in caplog.text


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("absent", r"HeadCT is expected in \S*HeadCT, but nothing of it is there; get it from https"),
        ("empty", r"HeadCT is expected in \S*HeadCT, but nothing"),
        ("one label", r"HeadCT, brain, in \S* has no normal images"),
        ("row without image", r"labels\.csv names \S*head_ct/002\.png, which does not exist"),
        ("no column", r"labels\.csv has no column 'hemorrhage', only id"),
        ("no table", r"labels\.csv cannot be read as a table"),
    ],
)
def test_damaged_replicas(tmp_path: Path, damage: str, said: str) -> None:
    declared = CATALOG["headct"]
    folder = tmp_path / "HeadCT"
    if damage != "absent":
        folder.mkdir()
    if damage in ("row without image", "no column", "no table"):
        build(declared, declared.layouts[1], tmp_path).rename(tmp_path / "built")
        folder.rmdir()
        (tmp_path / "built").rename(folder)
        if damage == "row without image":
            (folder / "head_ct" / "head_ct" / "002.png").unlink()
        else:
            (folder / "labels.csv").write_text("id\n1\n" if damage == "no column" else "")
    if damage == "one label":
        save(folder / "brain" / "test" / "bleeding" / "1.png", picture(1))
    with pytest.raises(InputError, match=said):
        ZeroShotTransfer(target="headct", root=str(tmp_path), synthetic_samples=4).setup()
