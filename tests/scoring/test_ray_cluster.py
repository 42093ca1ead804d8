"""Run on a cluster of two nodes that somebody else started, as ``--ray ADDRESS`` does."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from tests.docs.pages import ROOT
from tests.scoring.fake import save_image

pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'")
pytest.importorskip("ray.data")

pytestmark = pytest.mark.alone
SECONDS = 90
SCORE = """
import sys
from pathlib import Path
from anomalib_cops.scoring.on_ray import Cluster, score_on_ray
from anomalib_cops.scoring.run import Job
from tests.scoring.fake import FakePredictor

cluster = Cluster(sys.argv[1], actors=2)
print(score_on_ray(Job(sys.argv[2], Path(sys.argv[3])), FakePredictor, cluster).rows)
"""


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start two nodes with one processor each, as ``ray start`` does by default: with a token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_AUTH_MODE", None)
    ray = Path(sys.executable).with_name("ray")
    # Sockets have short names only.
    head = ["--head", f"--port={port}", "--include-dashboard=false"]
    nodes = []
    try:
        for node in (head, [f"--address=127.0.0.1:{port}"]):
            command = [ray, "start", "--block", "--num-cpus=1", "--disable-usage-stats", *node]
            process = subprocess.Popen(
                command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            nodes.append(process)
            _wait_for(port)
        yield f"127.0.0.1:{port}"
    finally:
        for process in reversed(nodes):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.2)
    raise AssertionError("the head node did not start")


def test_a_running_cluster_scores_the_images(address: str, tmp_path: Path) -> None:
    for number in range(130):
        save_image(tmp_path / f"images/{number}.png", number)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    environment.pop("RAY_AUTH_MODE", None)
    output = tmp_path / "scores.parquet"
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCORE, address, tmp_path / "images", output],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.stdout.split()[-1] == "130"
    table = pd.read_parquet(output)
    assert sorted(Path(path).name for path in table["path"]) == sorted(f"{number}.png" for number in range(130))
    assert table["score"].notna().all()
