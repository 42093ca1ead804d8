"""Test that a run which is killed, runs beside another or finds the disk full loses nothing."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anomalib_cops.errors import InputError
from anomalib_cops.scoring import ray_tasks, reading
from anomalib_cops.scoring.listing import Found, Listing
from anomalib_cops.scoring.reading import Read, read, read_ahead
from anomalib_cops.scoring.run import Job, open_table, score
from tests.scoring.fake import FakePredictor, save_image

ROOT = Path(__file__).parents[2]
IMAGES = 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "images"
    for number in range(IMAGES):
        save_image(folder / f"{number % 7}/{number}.png", number % 250)
    return folder


def begin(folder: Path, output: Path, workers: int = 0, pause: float = 0.0, batch_size: int = 3, **options: object):
    words = (folder, output, workers, pause, batch_size)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.scoring.fake_run", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


def scores(output: Path) -> dict[str, float | None]:
    rows = [(row.path, row.score) for row in open_table(output).rows()]
    assert len(dict(rows)) == len(rows)
    return dict(rows)


@pytest.mark.parametrize(("kind", "workers", "kills"), [("csv", 0, 20), ("jsonl", 1, 5), ("parquet", 0, 20)])
def test_kills_at_random_moments_lose_nothing(
    folder: Path, tmp_path: Path, kind: str, workers: int, kills: int
) -> None:
    chance = random.Random(kind)
    output = tmp_path / f"scores.{kind}"
    before = 0
    for _ in range(kills):
        process = begin(folder, output, workers, pause=0.005)
        time.sleep(chance.uniform(0.2, 0.8))
        end(process)
        if output.exists():
            now = len(scores(output))
            assert now >= before
            before = now
    out, err = begin(folder, output, workers).communicate()
    assert int(out) == IMAGES, err
    expected = tmp_path / "other/expected.csv"
    score(Job(str(folder), expected, workers=0), FakePredictor)
    assert scores(output) == scores(expected)
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {output.name, f"{output.name}.settings.json"}


def test_workers_end_with_the_run_that_was_killed(folder: Path, tmp_path: Path) -> None:
    process = begin(folder, tmp_path / "scores.csv", workers=1, pause=0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_for(lambda: (tmp_path / "scores.csv").exists())
    started = [int(child) for child in children.read_text().split()]
    assert started
    end(process)
    wait_for(lambda: not [child for child in started if is_alive(child)])


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_run_on_the_same_output_is_refused(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.csv"
    first = begin(folder, output, pause=0.2)
    wait_for(output.exists)
    second = begin(folder, output)
    _, err = second.communicate()
    assert second.returncode and "Another run is writing" in err
    end(first)
    out, err = begin(folder, output).communicate()
    assert int(out) == IMAGES, err


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_full_disk_is_a_sentence_and_the_rows_are_kept(folder: Path, tmp_path: Path, kind: str) -> None:
    output = tmp_path / f"scores.{kind}"

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    process = begin(folder, output, preexec_fn=fill)
    _, err = process.communicate()
    assert process.returncode
    assert "cannot be written (File too large); make room there" in err.splitlines()[-1]
    kept = scores(output)
    assert 10 < len(kept) < IMAGES
    out, err = begin(folder, output).communicate()
    assert int(out) == IMAGES, err
    assert scores(output).items() >= kept.items()


def test_other_settings_are_refused_by_name(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.csv"
    job = Job(str(folder / "0"), output, workers=0)
    score(job, FakePredictor)
    score(job, FakePredictor)
    with pytest.raises(InputError, match=r"other settings \(model: fake then, new now\); give another --output"):
        score(job, lambda: FakePredictor(model="new"))
    with pytest.raises(InputError, match=r"model: fake then, none now"):
        score(job, lambda: FakePredictor(model=""))
    settings = output.with_name("scores.csv.settings.json")
    settings.write_text(settings.read_text().replace("fake", "new"))
    with pytest.raises(InputError, match="is damaged"):
        score(job, lambda: FakePredictor(model="new"))
    settings.unlink()
    with pytest.raises(InputError, match="unknown how its scores were made"):
        score(job, FakePredictor)


def test_an_output_or_pictures_that_cannot_be_written_are_sentences(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        score(Job(str(folder), tmp_path / "file/scores.csv", workers=0), FakePredictor)
    with pytest.raises(InputError, match="cannot be written to"):
        score(Job(str(folder), tmp_path / "scores.csv", tmp_path / "file/pictures", 0), FakePredictor)
    with pytest.raises(InputError, match="/proc/scores.csv.settings.json cannot be written"):
        score(Job(str(folder), Path("/proc/scores.csv"), workers=0), FakePredictor)


def deadly(found, max_pixels=None):
    """Read an image, unless its name says that the decoder crashes."""
    if "crash" in found.path:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(found, max_pixels)


def priority(found, wanted):
    """Tell the priority of the process that reads."""
    return Read(found, error=str(os.nice(0)))


def test_readers_give_way_to_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "read", priority)
    (result,) = read_ahead([Found("any.png")], workers=1, ahead=1)
    assert int(result.error) == min(os.nice(0) + reading.POLITENESS, 19)


def test_an_image_whose_decoder_crashes_is_blamed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "crash", "d", "e", "f"):
        save_image(tmp_path / f"{name}.png", 7)
    monkeypatch.setattr(reading, "read", deadly)
    results = list(read_ahead(Listing(str(tmp_path)), workers=2, ahead=4))
    assert [Path(each.found.path).stem for each in results] == ["a", "b", "crash", "d", "e", "f"]
    assert [each.found.location for each in results if each.error] == [str(tmp_path / "crash.png")]
    assert "ended without a word, twice" in str(results[2].error)
    errors = [
        table["error"][0].as_py() for table in ray_tasks.decode(ray_tasks.to_images(list(Listing(str(tmp_path)))), None)
    ]
    assert errors == [each.error for each in results]
    ray_tasks._pool(None).close()
