"""Test the table of the same method with all backbones, on results that are made by hand."""

from anomalib_cops.encoder import tiny
from benchmark.plan.backbones import stand_in
from benchmark.plan.names import STAND_INS
from benchmark.records.result import METRICS
from benchmark.report import render
from benchmark.report.reported import load_reported
from benchmark.report.same_method import HEADING, same_method_tables
from tests.benchmark.test_shot_tables import made as with_references
from tests.benchmark.test_tables import made, markdown, result


def test_means_are_over_the_same_data_sets_for_all_backbones():
    (compared,) = same_method_tables(
        made(
            result(I_AUROC=0.5), result(target="btad", I_AUROC=0.7), result(backbone="ViT-B-16", I_AUROC=0.9),
            result("AdaCLIP", I_AUROC=0.4), result("AdaCLIP", backbone="ViT-B-16", I_AUROC=0.6),
            result("AnomalyCLIP", I_AUROC=0.8),
        ),
        METRICS,
    )  # fmt: skip
    # CoPS was not tested on btad with ViT-B-16, and AnomalyCLIP ran with one backbone only.
    assert compared.header == ["backbone", "AdaCLIP", "CoPS"]
    assert [[entry.text for entry in row] for row in compared.rows] == [
        ["ViT-B-16", "60.0", "–"],
        ["ViT-L-14-336", "40.0", "60.0"],
    ]


def test_what_else_differs_between_backbones_is_said():
    other = result(backbone="ViT-B-16", source="btad")
    other.categories["bottle"].images = "fewer"
    said = markdown(result(), other)
    assert "CoPS saw different images of mvtec with different backbones." in said
    assert "CoPS was trained on different sets with different backbones." in said
    assert "with different backbones" not in markdown(result(), result(backbone="ViT-B-16"))


def test_every_number_of_references_has_its_table():
    results = [with_references("CoPS", shots, 0, "alpha", 0.5 + shots / 10) for shots in (0, 2)]
    others = [with_references("CoPS", shots, 0, "alpha", 0.9) for shots in (0, 2)]
    for each in others:
        each.backbone = "tiny, 60 px"
    compared = same_method_tables(made(*results, *others), METRICS)
    assert [each.title.rsplit(", ", 1)[1] for each in compared] == ["0 references", "2 references"]
    assert [row[1].text for row in compared[1].rows] == ["70.0", "90.0"]
    assert render.markdown(made(*results, *others), load_reported(), METRICS).count(f"## {HEADING}\n") == 1


def test_the_papers_figures_stand_beside_their_backbone_alone():
    page = markdown(result(I_AUROC=0.96), result(backbone="ViT-L-14-336, 336 px", I_AUROC=0.97))
    large, small = page.split("## Backbone ViT-L-14-336, 336 px")
    assert "beside its paper" in large and "beside its paper" not in small


def test_the_tiny_backbone_is_labelled_at_every_size():
    assert set(STAND_INS) == set(tiny.STAND_INS)
    assert stand_in("tiny") == stand_in("tiny, 60 px") == "tiny" and stand_in("tiny-looks") == "tiny-looks"
    assert stand_in("tiny-like") is None and stand_in("ViT-B-16, tiny.pt") is None
