"""Test the study of reference images on very little data."""

import json
from pathlib import Path

import pytest

from tools import reference_study as study


def test_the_study_writes_a_row_per_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "CATEGORIES", ("leather", "washer"))
    monkeypatch.setattr(study, "REFERENCES", 2)
    monkeypatch.setattr(study, "DRAWS", 1)
    monkeypatch.setattr(study, "RESULT", tmp_path / "references.json")
    study.main(["--samples", "8", "--epochs", "1"])
    result = json.loads((tmp_path / "references.json").read_text())
    rows = {row["use"]: row for row in result["rows"]}
    assert rows["memory alone"] == {**rows["memory alone, blocks 2 4 5 of 6"], "use": "memory alone"}
    assert len({row["image_auroc"] + row["pixel_auroc"] for row in rows.values()}) > 4, "uses differ"
    default = rows["weight (1 - p)² of the prompts (default)"]
    assert rows["default with the mean of the farthest 5 % of the patches"]["image_auroc"] == default["image_auroc"]
    assert "| memory alone |" in study.study_table(result)
