"""Test what is listed, and that neither listing nor scoring grows with the number of images."""

import io
import os
import random
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import fsspec
import pytest
from PIL import Image

from anomalib_cops.errors import InputError
from anomalib_cops.scoring.done import Done
from anomalib_cops.scoring.listing import Listing
from anomalib_cops.scoring.run import Job, open_table, score
from tests.scoring.fake import FakePredictor, save_image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/2.png", "a/1.png", "a/deep/3.JPG", "0.tiff"):
        save_image(tmp_path / "images" / name, 10)
    (tmp_path / "images/notes.txt").touch()
    return tmp_path / "images"


def names(source: str | Path, **arguments: object) -> list[str]:
    return [found.path for found in Listing(str(source), **arguments)]


def test_a_folder_is_sorted_and_its_links_are_followed_once(folder: Path, tmp_path: Path) -> None:
    (folder / "a/deep/loop").symlink_to(folder)
    (folder / "a/deep/self").symlink_to(folder / "a/deep/self")
    save_image(tmp_path / "elsewhere/x.png", 1)
    (folder / "z").symlink_to(tmp_path / "elsewhere")
    listing = Listing(str(folder))
    found = [os.path.relpath(each.path, folder) for each in listing]
    assert found == ["0.tiff", "a/1.png", "a/deep/3.JPG", "a/deep/self", "b/2.png", "z/x.png"]
    assert [each.error for each in listing if each.error] == [
        "it cannot be examined: Too many levels of symbolic links"
    ]
    assert (listing.others, listing.repeated) == (1, 1)


def test_a_folder_that_cannot_be_listed_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listdir = os.listdir

    def refuse(path: str) -> list[str]:
        if path.endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    (bad,) = [found for found in Listing(str(folder)) if found.error]
    assert bad.path == str(folder / "a/deep") and bad.error == "the folder cannot be listed: Permission denied"


def test_one_image_and_a_list_of_paths(folder: Path, tmp_path: Path) -> None:
    assert names(folder / "a/1.png") == [str(folder / "a/1.png")]
    (tmp_path / "list.txt").write_text(f"{folder}/b/2.png\n\n{folder}/notes.txt\nodd://x/y.png\n")
    found = list(Listing(str(tmp_path / "list.txt")))
    assert [each.path for each in found[:2]] == [f"{folder}/b/2.png", f"{folder}/notes.txt"]
    assert "odd://x/y.png cannot be opened" in str(found[2].error)
    summary = score(Job(str(tmp_path / "list.txt"), tmp_path / "scores.csv", workers=0), FakePredictor)
    assert (summary.scored, summary.failed) == (1, 2)


def test_a_list_of_another_system(folder: Path, tmp_path: Path) -> None:
    content = f"\ufeff{folder}/b/2.png\r\n{folder}/a/1.png\r\n"
    (tmp_path / "LIST.TXT").write_bytes(content.encode())
    assert names(tmp_path / "LIST.TXT") == [f"{folder}/b/2.png", f"{folder}/a/1.png"]


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_archives_are_read_in_place(folder: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"images.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.rglob("*.*")):
                archive.write(file, file.relative_to(folder))
    else:
        with tarfile.open(path, f"w:{kind.partition('.')[2]}") as archive:
            archive.add(folder, ".")
    summary = score(Job(str(path), tmp_path / "scores.csv", tmp_path / "pictures", workers=1), FakePredictor)
    assert (summary.scored, summary.failed, summary.others) == (4, 0, 1)
    assert len([*(tmp_path / "pictures").rglob("*.png")]) == 4
    for row in open_table(tmp_path / "scores.csv").rows():
        with fsspec.open(row.path) as file:
            assert Image.open(file).size == (3, 2)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match="cannot be opened"):
        names(path.rename(tmp_path / f"cut.{kind}"))


def test_addresses_are_listed_and_read(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("L", (3, 2), 9).save(content, "png")
    memory = fsspec.filesystem("memory")
    for name in ("/bucket/a/1.png", "/bucket/2.png"):
        memory.pipe(name, content.getvalue())
    memory.pipe("/bucket/empty.png", b"")
    summary = score(Job("memory://bucket", tmp_path / "scores.csv", workers=0), FakePredictor)
    assert (summary.scored, summary.failed) == (2, 1), list(open_table(tmp_path / "scores.csv").rows())
    rows = [row.path for row in open_table(tmp_path / "scores.csv").rows()]
    assert rows == ["memory:///bucket/2.png", "memory:///bucket/empty.png", "memory:///bucket/a/1.png"]
    assert names("memory://bucket/2.png") == ["memory:///bucket/2.png"]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("nowhere", "nowhere does not exist"),
        ("", "is an empty text"),
        ("memory://nowhere", "does not exist; check the address"),
        ("odd://bucket", "odd://bucket cannot be opened"),
        (".", "contains no images"),
    ],
)
def test_sources_without_images_are_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=sentence):
        score(Job(source, tmp_path / "scores.csv", workers=0), FakePredictor)


def test_done_knows_its_paths() -> None:
    numbers = list(range(1000))
    random.Random(1).shuffle(numbers)
    done = Done(f"/images/{number}.png" for number in numbers)
    assert len(done) == 1000 and "/images/17.png" in done and "/images/1000.png" not in done
    assert "/images/1.png" not in Done([])


HUGE = """
import resource, sys
from anomalib_cops.scoring import run
from anomalib_cops.scoring.reading import Read
from tests.scoring.fake import FakePredictor

# Decoding 100,000 files takes longer than the test may.
picture = next(iter(run.read_ahead(iter(run.Listing(sys.argv[1] + "/0/0.png")), 0, 1))).picture
peaks = []
def read_ahead(images, *_):
    for number, found in enumerate(images):
        if number in (10_000, 99_999):
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        yield Read(found, picture)
run.read_ahead = read_ahead
print(run.score(run.Job(sys.argv[1], run.Path(sys.argv[2]), workers=0), lambda: FakePredictor(64)).rows, *peaks)
"""


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("huge")
    first = save_image(folder / "0/0.png", 10)
    for number in range(1, 100_000):
        target = folder / f"{number // 10_000}/{number}.png"
        target.parent.mkdir(exist_ok=True)
        if number % 50_000:
            os.link(first, target)
        else:  # a file may have about 65,000 names
            first = save_image(target, 10)
    return folder


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_memory_does_not_grow_with_100_000_images(huge: Path, tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-c", HUGE, str(huge), str(tmp_path / f"scores.{kind}")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    rows, early, late = map(int, run.stdout.split())
    assert rows == 100_000
    assert late - early < 20_000  # KiB
