"""Test that the tables of docs/backbones.md say what the code says."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import open_clip
import pytest

from anomalib_cops.encoder.load import model_config
from anomalib_cops.encoder.supported import is_supported
from anomalib_cops.registry import METHODS
from benchmark.speed import weightless
from benchmark.speed.weightless import StandInTokenizer, encoder_of, model_of
from tests.towers.tokenizers import frame_of
from tools.backbones.__main__ import PAGE, RESULT, check, measure, versions
from tools.backbones.facts import settings_for
from tools.backbones.licences import UNNAMED, licences_of

WRITTEN = json.loads(RESULT.read_text())
SAME_RELEASES = pytest.mark.skipif(
    any(versions()[name] != WRITTEN["versions"][name] for name in ("open_clip_torch", "timm")),
    reason="the file was made with other releases of open_clip and timm",
)
FEW = ("ViT-S-32-alt", "ViT-B-16-SigLIP", "PE-Core-T-16-384", "RN50", "coca_ViT-B-32", "convnext_base")


@pytest.fixture
def copies(tmp_path: Path) -> tuple[Path, Path]:
    """Return copies of the page and of the result file."""
    return Path(shutil.copy(PAGE, tmp_path)), Path(shutil.copy(RESULT, tmp_path))


@SAME_RELEASES
def test_the_tables_are_what_the_code_says() -> None:
    assert check(PAGE, RESULT, FEW) == []


@SAME_RELEASES
def test_operations_are_counted_again_as_they_were() -> None:
    found = measure(["ViT-S-32-alt"])["backbones"]["ViT-S-32-alt"]
    assert found == WRITTEN["backbones"]["ViT-S-32-alt"]
    assert found["cops_gflop"] > found["encode_image_gflop"] > 0


def test_the_papers_backbone_costs_what_the_benchmark_of_speed_counted_with_weights() -> None:
    works = json.loads((RESULT.parent / "speed.json").read_text())["inference"]["works"]
    record = WRITTEN["backbones"]["ViT-L-14-336"]
    assert record["encode_image_gflop"] == pytest.approx(works["open_clip encode_image"]["gflop"], abs=1e-3)
    assert record["cops_gflop"] == pytest.approx(works["CoPS/vision"]["gflop"] + works["CoPS/rest"]["gflop"], abs=1e-3)


def test_a_changed_figure_is_found_in_the_page(copies: tuple[Path, Path]) -> None:
    page, result = copies
    changed = copy.deepcopy(WRITTEN)
    changed["backbones"]["ViT-L-14-336"]["cops_gflop"] += 1
    result.write_text(json.dumps(changed))
    assert check(page, result, []) == [
        "backbones.md is not what backbones.json gives; run python -m tools.backbones --page."
    ]


@SAME_RELEASES
@pytest.mark.parametrize("change", [{"image_parameters": 1}, {"methods": dict.fromkeys(METHODS)}, {"refused": "no"}])
def test_a_record_that_the_code_contradicts_is_found(copies: tuple[Path, Path], change: dict[str, Any]) -> None:
    page, result = copies
    changed = copy.deepcopy(WRITTEN)
    changed["backbones"]["ViT-S-32-alt"] |= change
    result.write_text(json.dumps(changed))
    found = [problem for problem in check(page, result, ["ViT-S-32-alt"]) if "out of date" in problem]
    assert found == [
        f"backbones.json is out of date: ViT-S-32-alt has other {', '.join(change)}; run python -m tools.backbones."
    ]


@pytest.mark.parametrize(
    ("context", "needed"),
    [
        (77, {"AdaCLIP": {}, "AnomalyCLIP": {}, "CoPS": {}, "VCPCLIP": {}}),
        (16, {"AdaCLIP": {}, "AnomalyCLIP": {"context_tokens": 11}, "CoPS": {"context_tokens": 5}, "VCPCLIP": {}}),
    ],
)
def test_settings_that_fit_are_found(
    context: int, needed: dict[str, dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = copy.deepcopy(model_config("ViT-S-32"))
    config["text_cfg"]["context_length"] = context
    monkeypatch.setattr(weightless, "model_config", lambda name: config)
    clip = encoder_of("ViT-S-32", model_of("ViT-S-32"))
    assert {name: settings_for(clip, name) for name in needed} == needed


def test_stand_ins_begin_as_the_tokenizers_of_the_hub_do() -> None:
    configs = [model_config(name) for name in open_clip.list_models()]
    texts = [each["text_cfg"] for each in configs if is_supported(each) and each["text_cfg"].get("hf_tokenizer_name")]
    assert texts
    for text in texts:
        assert bool(StandInTokenizer(text).start) == bool(frame_of(text["hf_tokenizer_name"]).first)


def test_licences_are_named_or_left_open() -> None:
    found = licences_of("ViT-L-14")
    assert found["openai"] == "mit"
    assert found["laion2b_s32b_b82k"] == UNNAMED
    assert licences_of("ViT-SO400M-16-SigLIP2-512") == {"webli": "apache-2.0"}
