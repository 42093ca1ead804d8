"""Test how ``speed`` measures and what it prints; no test depends on how fast anything is."""

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from benchmark.speed import start
from benchmark.speed.metrics import measure_metrics
from benchmark.speed.picture import draw
from benchmark.speed.stages import stages
from benchmark.speed.start import FIRST_SCORE, OWN_PART, measure_start
from benchmark.speed.stopwatch import gflop, interleaved, peak_gb
from benchmark.speed.tables import REFERENCE, method_stages, summary, tables
from benchmark.speed.throughput import measure_throughput
from benchmark.speed.throughput_table import THROUGHPUT_STAGES
from benchmark.speed.towers import measure_towers
from tests.scoring.test_exported import build
from tests.towers.random_tower import known

RESULT = Path(__file__).parents[2] / "docs/results/speed.json"
BACKBONES = RESULT.parent / "backbones.json"


def test_works_take_turns() -> None:
    order: list[str] = []
    found = interleaved({name: lambda name=name: order.append(name) for name in "abc"}, 3)
    assert "".join(order) == "abcabcabc"
    assert all(0 < each["least"] <= each["median"] <= each["most"] for each in found.values())


def test_operations_are_two_per_multiply_add_attention_included() -> None:
    x = torch.randn(1, 7, 16)
    with torch.inference_mode():
        assert gflop(lambda: nn.Linear(16, 32)(x)) == 2 * 7 * 16 * 32 / 1e9
        heads = x.unflatten(2, (2, 8)).transpose(1, 2)
        assert gflop(lambda: F.scaled_dot_product_attention(heads, heads, heads)) == 2 * 2 * 7 * 7 * 16 / 1e9
    assert torch.backends.mha.get_fastpath_enabled(), "open_clip is timed without its fused path"


def test_memory_is_what_a_work_needs_at_its_largest() -> None:
    needed = peak_gb(lambda: torch.ones(100_000_000).sum())
    if needed is None:
        pytest.skip("this system does not tell")
    assert 0.3 < needed < 0.6, "what the process frees meanwhile, of earlier tests, counts as well"


def test_both_kinds_of_metrics_agree() -> None:
    for kinds in measure_metrics(2)["metrics"].values():
        assert kinds["streaming"]["value"] == pytest.approx(kinds["exact"]["value"], abs=1e-4)


def test_a_method_without_stages_is_timed_as_a_whole(tmp_path: Path) -> None:
    assert [*stages("Fifth", nn.Identity(), torch.zeros(1))] == ["whole"]
    result = json.loads(RESULT.read_text())
    works = result["inference"]["works"]
    works["Fifth/whole"] = works["CoPS/vision"]
    assert method_stages(works)["Fifth"] == ["Fifth/whole"]
    assert re.search(r"^\| Fifth \|  \|  \|  \| \d", tables(result), flags=re.MULTILINE)
    draw(result, tmp_path / "speed.png")


def test_the_local_path_is_counted_without_weights() -> None:
    name = "PE-Core-T-16-384"
    counted = measure_towers([known(name)])[name]
    written = json.loads(BACKBONES.read_text())["backbones"][name]
    assert {kind: round(value, 3) for kind, value in counted.items()} == {kind: written[kind] for kind in counted}
    assert 1 < counted["both_paths_gflop"] / counted["encode_image_gflop"] < 1.5


def test_results_of_earlier_versions_have_no_towers() -> None:
    result = json.loads(RESULT.read_text())
    assert "image tower" in tables(result)
    del result["towers"]
    assert "image tower" not in tables(result)


def test_throughput_is_compared_with_the_slowest_stage() -> None:
    result = json.loads(RESULT.read_text())
    result.pop("throughput", None)
    assert "slowest stage" not in tables(result)
    rates = {"model": 20.0, "reading in threads": 40.0, "reading in processes": 10.0, "drawing": 5.0}
    rates |= {"score": 9.0, "predict": 18.0, "predict with pictures": 4.0}
    result["throughput"] = {"images": 40, "side": 1024, "workers": 3, "images_per_second": rates}
    found = tables(result)
    assert "| 40 images of 1024², tiny model, 3 workers | images/s |" in found
    for row in ("score | 9.0 | reading in processes | 0.90 | 1.35", "predict | 18.0 | model | 0.90 | 1.35"):
        assert f"| {row} |" in found
    assert "| predict with pictures | 4.0 | drawing | 0.80 | 1.10 |" in found


def test_throughput_is_measured_from_files_to_results() -> None:
    found = measure_throughput(4, "cpu")
    stages = {stage for each in THROUGHPUT_STAGES.values() for stage in each}
    assert found["images_per_second"].keys() == {*THROUGHPUT_STAGES, *stages}
    assert all(rate > 0 for rate in found["images_per_second"].values())


def test_tables_and_picture_of_the_committed_result(tmp_path: Path) -> None:
    result = json.loads(RESULT.read_text())
    text = tables(result)
    for figure in ("CoPS with R=100", "feature cache", "F1Max", "samples R", "bfloat16 autocast", "float32 |"):
        assert figure in text, figure
    assert summary(result).splitlines()[0] == text.splitlines()[0]
    for name in ("CoPS/vision", "CoPS/rest"):
        result["inference"]["works"][name]["seconds"] = dict.fromkeys(("median", "least", "most"), 30.0)
    result["inference"]["works"][REFERENCE]["seconds"]["median"] = 10.0
    assert re.search(r"^\| CoPS \| 30.00 .* \| 60.00 \(60.00–60.00\) \| 6.00 \|", tables(result), flags=re.MULTILINE)
    draw(result, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == ["speed.png"]


def test_our_part_of_the_start_is_what_comes_after_anomalibs_imports() -> None:
    own = json.loads(start._run(OWN_PART).splitlines()[-1])
    assert [*own] == ["registering", "making"] and all(seconds > 0 for seconds in own.values())


def test_starts_of_other_programs_and_without_runtimes_are_tables_too(monkeypatch: pytest.MonkeyPatch) -> None:
    shows = "import os; print([os.environ.get('ANOMALIB_COPS_AUTOLOAD'), 'PYTHONDONTWRITEBYTECODE' in os.environ])"
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("ANOMALIB_COPS_AUTOLOAD", raising=False)
    assert start._run(shows) == "[None, False]\n"
    monkeypatch.setattr(start, "HOST", shows)
    assert start._run(shows) == "['0', False]\n", "anomalib's own imports are measured without the hook"
    monkeypatch.setattr(start, "IMPORTS", (shows, "pass"))
    monkeypatch.setattr(start, "OWN_PART", """print('{"registering": 0.25, "making": 0.125}')""")
    monkeypatch.setattr(start, "RUNTIMES", {"Absent": ("no_such_runtime", "to_absent")})
    result = json.loads(RESULT.read_text())
    result.pop("start", None)
    assert "start of `anomalib predict`" not in tables(result), "earlier results have no starts"
    result["start"] = measure_start("tiny", 2)
    text = tables(result)
    assert re.search(r"^\| `pass` \| 0\.\d\d \(0\.\d\d–\d\.\d\d\) \| \d\.\d\d \|$", text, flags=re.MULTILINE)
    assert "0.38 s are ours: 0.25 s to register the models, and 0.12 s" in text
    assert "first score" not in text
    result["start"]["first_score"] = {"OpenVINO": {"median": 1.5}}
    assert "exported CoPS, tiny, after 1.50 s with OpenVINO." in tables(result)


def test_the_program_of_the_first_score_needs_no_torch(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    build(tmp_path / "model.onnx")
    Image.new("RGB", (8, 6)).save(tmp_path / "black.png")
    shows = f"{FIRST_SCORE}; print('torch' in sys.modules)"
    assert start._run(shows, str(tmp_path / "model.onnx"), str(tmp_path / "black.png")) == "False\n"
