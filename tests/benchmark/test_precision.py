"""Test what ``speed --precision`` measures and prints; no test depends on how fast anything is."""

import json
from pathlib import Path

import torch

from anomalib_cops.encoder import load_clip
from benchmark.speed.card_table import card_table
from benchmark.speed.cards import PLAIN, VARIANTS, measure_card, plain
from benchmark.speed.precision_table import precision_tables
from benchmark.speed.precision_ways import REFERENCE, WAYS
from tools.tables import ROOT

RESULT = ROOT / "docs/results/precision.json"
FIELDS = {
    *("method", "runtime", "precision", "times_encode_image", "delta_i_auroc", "delta_p_auroc", "max_delta_score"),
    *("peak_gb", "file_mb"),
}


def test_the_committed_result_has_every_way_of_every_method_that_it_names() -> None:
    result = json.loads(RESULT.read_text())
    assert result["provenance"]["machine"]["processor"] and not result["quick"]
    rows = result["rows"]
    assert all(row.keys() >= FIELDS for row in rows)
    ways = {str(way) for way in WAYS}
    assert {f"{row['runtime']}, {row['precision']}" for row in rows if row["method"] == "CoPS"} == ways
    exact = [row for row in rows if (row["runtime"], row["precision"]) == (REFERENCE.runtime, REFERENCE.precision)]
    assert {row["method"] for row in exact} == {row["method"] for row in rows}
    assert {row["max_delta_score"] for row in exact} == {0.0}


def test_a_table_shows_shares_as_points_and_leaves_out_what_is_unknown() -> None:
    row = {
        "method": "CoPS",
        "runtime": "OpenVINO",
        "precision": "int8",
        "seconds": 0.5,
        "times_encode_image": 0.25,
        "peak_gb": None,
        "file_mb": 300.4,
        "max_delta_score": 0.012,
        "delta_i_auroc": -0.0031,
    }
    machine = {"processor": "a processor"}
    result = {
        "provenance": {"versions": {"torch": "2"}, "machine": machine},
        "loss": {"images": 3, "sets": ["synthetic"]},
        **{"backbone": "ViT", "image_size": 518, "threads": 2, "repetitions": 3, "encode_image": 2.0, "rows": [row]},
    }
    text = precision_tables(result, ["CoPS"])
    assert "a processor" in text and "stand-in" in text and "(2000 ms)" in text
    assert "| OpenVINO, int8 | 500 | 0.25 |  | 300 | 1.2e-02 | -0.31 |  |  |" in text


def test_the_script_for_cards_runs_on_a_processor(tmp_path: Path) -> None:
    # To compile takes minutes on a processor.
    variants = [each for each in VARIANTS if not each[2]]
    found = measure_card("tiny", "cpu", batches=(1, 2), repetitions=1, side=64, variants=variants)
    names = [(row["name"], row["batch"]) for row in found["rows"]]
    assert names == [(PLAIN, 1), *((name, batch) for name, *_ in variants for batch in (1, 2))]
    assert all(row["images_per_second"] > 0 for row in found["rows"])
    made = {"versions": {"torch": "2"}, "machine": {"gpu": "a card"}}
    text = card_table({"provenance": made, "card": found})
    assert "a card" in text and text.count("batches of 2") == len(variants)
    assert card_table(None) == "On graphics cards: not measured."


def test_the_plain_computation_gives_the_same_features_and_ends_with_its_block() -> None:
    clip = load_clip("tiny")
    images = torch.randn(2, 3, clip.image_size, clip.image_size)
    wanted = clip.image.encode(images, layers=[clip.depth], local_start=1)
    with plain():
        assert not clip.text.causal
        found = clip.image.encode(images, layers=[clip.depth], local_start=1)
    assert clip.text.causal
    for ours, theirs in ((found.cls, wanted.cls), (found.patches, wanted.patches)):
        assert not torch.equal(ours, theirs)
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
