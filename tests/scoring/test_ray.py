"""Run a real Ray with two processors and a model that costs no time."""

import os
import signal
import socket
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from anomalib_cops.errors import InputError
from anomalib_cops.scoring.run import Job, score
from tests.scoring.fake import DEADLY, REFUSED, FakePredictor, save_image

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'")
pytest.importorskip("ray.data")
from anomalib_cops.scoring.on_ray import Cluster, score_on_ray  # noqa: E402
from anomalib_cops.scoring.ray_connection import check_address  # noqa: E402

pytestmark = [pytest.mark.alone, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Start one cluster for all tests of this file."""
    handler = signal.getsignal(signal.SIGTERM)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="error"
    )
    yield
    ray.shutdown()
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(200):
        save_image(tmp_path / f"images/{number % 3}/{number}.png", number)
    (tmp_path / "images/empty.png").touch()
    save_image(tmp_path / "images/bad.png", REFUSED)
    save_image(tmp_path / "images/x.png", 5).rename(tmp_path / "images/caf\udce9.png")
    return tmp_path / "images"


def frame(output: Path) -> pd.DataFrame:
    return pd.read_parquet(output).sort_values("path", ignore_index=True).drop(columns="seconds")


def test_the_table_equals_that_of_one_process_though_a_worker_is_killed(folder: Path, tmp_path: Path) -> None:
    save_image(folder / "1/deadly.png", DEADLY)
    died = tmp_path / "died"
    predictor = partial(FakePredictor, batch_size=2, died=str(died))
    summary = score_on_ray(Job(str(folder), tmp_path / "many.parquet"), predictor, Cluster(actors=2))
    assert died.exists()
    assert (summary.scored, summary.failed) == (202, 2)
    score(Job(str(folder), tmp_path / "one.parquet", workers=0), predictor)
    pd.testing.assert_frame_equal(frame(tmp_path / "many.parquet"), frame(tmp_path / "one.parquet"))


def test_what_is_missing_in_the_output_is_scored(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    output = tmp_path / "scores.parquet"
    job = Job(str(folder), output, tmp_path / "pictures")
    # Ray decodes in tasks of their own if the actors hold a graphics card, which here is one in name only.
    assert score_on_ray(job, FakePredictor, Cluster(gpus=0.5)).rows == 203
    whole = frame(output)
    assert len([*(tmp_path / "pictures").rglob("*.png")]) == 201
    first, second, *_ = sorted(output.glob("*.parquet"))
    first.write_bytes(first.read_bytes()[:100])
    second.unlink()
    summary = score_on_ray(job, FakePredictor, Cluster())
    assert "half-written and is removed" in capsys.readouterr().err
    assert 0 < summary.earlier < 203 and summary.rows == 203
    pd.testing.assert_frame_equal(frame(output), whole)
    save_image(folder / "empty.png", 3)
    retried = score_on_ray(Job(str(folder), output, retry_errors=True), FakePredictor, Cluster())
    assert (retried.scored, retried.failed, retried.rows) == (1, 1, 203)
    with pytest.raises(InputError, match="other settings"):
        score_on_ray(job, partial(FakePredictor, model="new"), Cluster())
    with pytest.raises(InputError, match="is a folder, as --ray writes it"):
        score(Job(str(folder), output), FakePredictor)


def test_mistakes_are_sentences(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="end --output .* in .parquet"):
        score_on_ray(Job(str(folder), tmp_path / "scores.csv"), FakePredictor, Cluster())
    (tmp_path / "file.parquet").touch()
    with pytest.raises(InputError, match="is a file of a run without --ray"):
        score_on_ray(Job(str(folder), tmp_path / "file.parquet"), FakePredictor, Cluster())
    with pytest.raises(InputError, match="--ray_actors 0 has to be 1 or more"):
        Cluster(actors=0)
    with pytest.raises(InputError, match="^weights are missing$"):
        score_on_ray(Job(str(folder), tmp_path / "scores.parquet"), refuse, Cluster())


def refuse() -> FakePredictor:
    raise InputError("weights are missing")


def test_a_cluster_that_is_not_there_is_a_sentence() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(InputError, match=f"no Ray cluster answers at {address}"):
        check_address(address, "the address after --ray")
