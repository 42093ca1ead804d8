"""Check of every file of data sets, and archives."""

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalib_cops.data.__main__ import main
from anomalib_cops.data.describe import page
from anomalib_cops.data.sets.archives import unpack
from anomalib_cops.data.sets.catalog import CATALOG
from anomalib_cops.errors import InputError
from tests.data.conftest import MakeCategory, save, spot
from tests.data.replicas import build


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run a command, and return its exit code, output and errors."""
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def row(output: str, name: str) -> str:
    """Return the line of a data set in the table, with single spaces."""
    return " ".join(next(line for line in output.splitlines() if line.split()[:1] == [name]).split())


def noise(number: int) -> np.ndarray:
    """A picture unlike all others."""
    return np.random.default_rng(number).integers(0, 255, (12, 10, 3), np.uint8)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A folder and a data set of the catalogue, with nothing wrong but their numbers of images."""
    for kind in ("good", "defect"):
        for number in range(3):
            save(tmp_path / "parts" / "bolt" / kind / f"{number}.png", noise(number + 10 * (kind == "good")))
    for number in range(3):
        save(tmp_path / "parts" / "bolt" / "mask" / f"{number}.png", spot())
    build(CATALOG["isic"], CATALOG["isic"].layouts[0], tmp_path)
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_the_table(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, output, _ = run(capsys, "check", good)
    assert code == 0
    assert row(output, "parts") == "parts parts 1 3 3 3 good"
    assert row(output, "isic") == "isic ISIC2016 1 0 of 0 2 of 379 2 other counts than published"
    assert "notes" not in output
    code, output, _ = run(capsys, "check", good, "--only", "isic")
    assert code == 0 and "parts" not in output
    code, _, errors = run(capsys, "check", good, "--only", "isik")
    assert code == 2 and "no data set 'isik'" in errors and "did you mean 'isic'" in errors


def test_every_fault_is_reported_by_the_name_of_its_file(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bolt = good / "parts" / "bolt"
    image = (bolt / "good" / "0.png").read_bytes()
    (bolt / "good" / "cut.png").write_bytes(image[: len(image) // 2])
    save(bolt / "defect" / "3.png", noise(33))
    save(bolt / "mask" / "1.png", spot((5, 5)))
    save(bolt / "mask" / "2.png", spot() * 0)
    shutil.copy(bolt / "good" / "1.png", bolt / "defect" / "0.png")
    save(bolt / "mask" / "good" / "2.png", spot())
    code, output, _ = run(capsys, "check", good)
    assert code == 1
    for kind, file in {
        "unreadable file": "good/cut.png cannot be used",
        "mask of another size": "mask/1.png",
        "anomalous image without a mask": "defect/3.png",
        "anomalous image with an empty mask": "defect/2.png",
        "normal image with a mask that is not empty": "good/2.png",
        "image in two places": "defect/0.png",
    }.items():
        assert f"1 × {kind}" in row(output, "parts")
        start = output.index(f"parts: {kind} (")
        assert file in output[start:].splitlines()[1]


def test_masks_that_do_not_fit_and_turned_images(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bolt = good / "parts" / "bolt"
    for number in range(3):
        save(bolt / "mask" / f"{number}.png", spot() // 255 * (number + 1))
    save(bolt / "mask" / "unused.png", spot())
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(99)).save(bolt / "good" / "lying.png", exif=exif)
    Image.fromarray(noise(98)).save(bolt / "defect" / "0.png", exif=exif)
    Image.fromarray(noise(97)[:10]).save(bolt / "defect" / "1.png", exif=exif)
    save(bolt / "mask" / "1.png", spot()[:10])
    code, output, _ = run(capsys, "check", good, "--only", "parts")
    assert code == 1
    for kind, files in {
        "unclear mask": ["mask/0.png is a mask of 0 and 1, but", "mask/2.png is a mask of 0 and 3, but"],
        "mask of a turned image": ["mask/1.png, of"],
        "mask without an image": ["mask/unused.png"],
        "turned image": ["good/lying.png", "defect/0.png", "defect/1.png"],
    }.items():
        assert f"{len(files)} × {kind}" in row(output, "parts")
        assert all(file in output[output.index(f"parts: {kind} (") :] for file in files)
    code, output, _ = run(capsys, "check", good, "--only", "parts", "--mask-values", 1, 3, 255)
    assert code == 1 and "unclear" not in output and "mask of a turned image" in output
    Image.fromarray(noise(97)).save(bolt / "defect" / "1.png", exif=exif)
    save(bolt / "mask" / "1.png", spot())
    code, output, _ = run(capsys, "check", good, "--only", "parts", "--mask-values", "nonzero")
    assert code == 0
    code, _, errors = run(capsys, "check", good, "--mask-values", "white")
    assert code == 2 and "mask_values=['white'] is not understood" in errors


def test_a_folder_of_masks_without_masks(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for mask in (good / "parts" / "bolt" / "mask").iterdir():
        mask.rename(mask.with_suffix(".npy"))
    code, output, _ = run(capsys, "check", good)
    assert code == 1 and "bolt/mask holds no masks, but 3 .npy files" in output


def test_anomalous_images_alone_are_no_fault(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(good / "parts" / "bolt" / "good")
    code, output, _ = run(capsys, "check", good, "--only", "parts")
    assert code == 0 and "bolt has no normal images" in output and "only anomalous images" in row(output, "parts")


def test_long_lists_are_cut_unless_all_are_wanted(
    tmp_path: Path, make_category: MakeCategory, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_category(tmp_path / "parts" / "bolt", good=1, defect=30)
    for mask in (folder / "mask").iterdir():
        save(mask, spot() * 0)
    code, output, _ = run(capsys, "check", tmp_path)
    assert code == 0
    assert "and 10 more; --all names them" in output and "029.png" not in output
    _, output, _ = run(capsys, "check", tmp_path, "--all")
    assert "029.png" in output and "more; --all" not in output


def test_an_incomplete_set_is_not_usable(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(good / "parts" / "bolt" / "good")
    build(CATALOG["mvtec"], CATALOG["mvtec"].layouts[0], good)
    shutil.rmtree(good / CATALOG["mvtec"].folders[-1] / "zipper")
    code, output, _ = run(capsys, "check", good)
    assert code == 1
    assert "bolt has no normal images" in output
    assert "mvtec_anomaly_detection/zipper, but nothing of it is there" in output
    assert row(output, "mvtec").startswith("mvtec mvtec_anomaly_detection 14 28 of 467 28 of 1258 28 1 × incomplete")


def test_folders_without_data_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, errors = run(capsys, "check", tmp_path)
    assert code == 2 and "holds no data set" in errors
    code, _, errors = run(capsys, "check", tmp_path / "absent")
    assert code == 2 and "absent does not exist" in errors


def test_layouts_of_all_sets(capsys: pytest.CaptureFixture[str]) -> None:
    code, output, _ = run(capsys, "layout")
    assert code == 0
    assert [line.split()[0] for line in output.splitlines()] == list(CATALOG)
    for declared in CATALOG.values():
        text = page(declared)
        assert (
            declared.home in text
            and declared.licence in text
            and "{" not in text.replace("{id", "").replace("{image}", "").replace("{mask}", "")
        )
    code, output, _ = run(capsys, "layout", "CVC-ClinicDB")
    assert code == 0 and "Ground Truth/NAME.*" in output
    code, _, errors = run(capsys, "layout", "kwasir")
    assert code == 2 and "did you mean 'kvasir'" in errors


def archive(path: Path, member: str) -> Path:
    """An archive with a harmless member and another."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as opened:
            opened.writestr("set/a.txt", "a")
            opened.writestr(member, "b")
        return path
    with tarfile.open(path, "w:gz") as opened:
        for name in ("set/a.txt", member):
            info = tarfile.TarInfo(name)
            info.size = 1
            opened.addfile(info, io.BytesIO(b"a"))
    return path


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_archives(tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    code, output, _ = run(capsys, "unpack", archive(tmp_path / f"fine{suffix}", "set/b.txt"), tmp_path / "new")
    assert code == 0 and output.strip() == str(tmp_path / "new")
    assert sorted(file.name for file in (tmp_path / "new" / "set").iterdir()) == ["a.txt", "b.txt"]
    for member in ("../out.txt", "/out.txt", "set/../../out.txt", "..\\out.txt"):
        bad = archive(tmp_path / f"bad{suffix}", member)
        code, _, errors = run(capsys, "unpack", bad, tmp_path / "other")
        assert code == 2 and f"bad{suffix} would write outside its folder with" in errors
        assert not (tmp_path / "other").exists() and not (tmp_path / "out.txt").exists()


def test_archives_that_cannot_be_unpacked(tmp_path: Path) -> None:
    fine = archive(tmp_path / "fine.tar.gz", "set/b.txt")
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there exists; name a new folder"):
        unpack(fine, tmp_path / "there")
    with pytest.raises(InputError, match="notes.txt is not an archive"):
        unpack(tmp_path / "notes.txt", tmp_path / "new")
    (tmp_path / "cut.tar.gz").write_bytes(fine.read_bytes()[:40])
    for name in ("cut.tar.gz", "absent.zip"):
        with pytest.raises(InputError, match=f"{name} cannot be unpacked"):
            unpack(tmp_path / name, tmp_path / "new")
    with tarfile.open(tmp_path / "link.tar", "w") as opened:
        link = tarfile.TarInfo("set/link")
        link.type, link.linkname = tarfile.SYMTYPE, "../../out"
        opened.addfile(link)
    with pytest.raises(InputError, match="would write outside its folder with"):
        unpack(tmp_path / "link.tar", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_single_files_of_unusual_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "größe 1" / "螺丝 m4"
    for kind in ("good", "defect"):
        save(folder / kind / "tief 16.tiff", noise(1 if kind == "good" else 2)[..., 0].astype(np.uint16) * 257)
    save(folder / "mask" / "tief 16.png", spot())
    code, output, _ = run(capsys, "check", tmp_path)
    assert code == 0 and "good" in output
    assert " ".join(output.splitlines()[1].split()) == "größe 1 größe 1 1 1 1 1 good"
