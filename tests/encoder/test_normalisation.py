"""Test that the mean and std of images are those that the weights were trained with."""

import logging
import zipfile
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from anomalib_cops.encoder import FrozenCLIP, load, load_clip
from anomalib_cops.encoder.normalisation import CLIP_MEAN, CLIP_STD, trained_with_normalisation
from tests.encoder.conftest import IMAGE_SIZE, SMALL

GREY = (0.5, 0.5, 0.5)
MIXED, GREYS = "Tiny-Mixed", "Tiny-Greys"
TAGS: dict[str, dict[str, dict[str, Any]]] = {
    MIXED: {"clip": {}, "explicit": {"mean": CLIP_MEAN, "std": CLIP_STD}, "grey": {"mean": GREY, "std": GREY}},
    GREYS: {"first": {"mean": list(GREY), "std": list(GREY)}, "second": {"mean": GREY, "std": GREY}},
}
"""Backbones that open_clip does not list, and the entries of their tags."""


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let open_clip list the backbones above; their weights have addresses that nobody answers."""
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: SMALL if name in TAGS else None)
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda name: list(TAGS.get(name, ())))
    monkeypatch.setattr(
        open_clip,
        "get_pretrained_cfg",
        lambda name, tag: {"url": f"http://127.0.0.1:9/{tag}.pt", "quick_gelu": True, **TAGS[name][tag]},
    )


def write(model: open_clip.CLIP, path: Path) -> Path:
    torch.save(model.state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("backbone", "tag", "mean", "std"),
    [
        ("ViT-L-14-336", "openai", CLIP_MEAN, CLIP_STD),
        ("ViT-B-16", "laion2b_s34b_b88k", CLIP_MEAN, CLIP_STD),
        ("ViT-L-14", "laion2b_s32b_b82k", GREY, GREY),
    ],
)
def test_values_follow_the_published_tag(backbone: str, tag: str, mean: Any, std: Any) -> None:
    assert trained_with_normalisation(backbone, tag) == (mean, std)


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(("tag", "mean", "std"), [("grey", GREY, GREY), ("clip", CLIP_MEAN, CLIP_STD)])
def test_a_loaded_tag_brings_its_values(small: open_clip.CLIP, tmp_path: Path, tag: str, mean: Any, std: Any) -> None:
    write(small, tmp_path / f"{tag}.pt")
    clip = load_clip(MIXED, tag, IMAGE_SIZE, cache_dir=str(tmp_path))
    assert (clip.mean, clip.std) == (clip.identity.mean, clip.identity.std) == (mean, std)


def test_tiny_and_random_weights_have_clips_values(small: open_clip.CLIP, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {(each.mean, each.std) for each in (load_clip("tiny"), FrozenCLIP(small, IMAGE_SIZE))} == {
        (CLIP_MEAN, CLIP_STD)
    }
    monkeypatch.setattr(load.open_clip, "get_model_config", lambda _: SMALL)
    assert load_clip(GREYS, None, IMAGE_SIZE).mean == CLIP_MEAN


@pytest.mark.usefixtures("listed")
def test_a_local_file_has_the_values_that_all_tags_share(
    small: open_clip.CLIP, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(small, tmp_path / "mine.pt")
    clip = load_clip(GREYS, str(path), IMAGE_SIZE)
    assert (clip.mean, clip.std) == (GREY, GREY) and not caplog.records


@pytest.mark.usefixtures("listed")
def test_a_local_file_has_clips_values_where_tags_differ_and_a_warning_names_all(
    small: open_clip.CLIP, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(small, tmp_path / "mine.pt")
    with caplog.at_level(logging.WARNING, logger="anomalib_cops"):
        clip = load_clip(MIXED, str(path), IMAGE_SIZE)
    assert (clip.mean, clip.std) == (CLIP_MEAN, CLIP_STD)
    (warning,) = (record.getMessage() for record in caplog.records)
    for part in (str(path), f"mean {CLIP_MEAN} and std {CLIP_STD}", f"'grey' with mean {GREY} and std {GREY}"):
        assert part in warning
    assert "explicit" not in warning


@pytest.mark.usefixtures("listed")
def test_openais_archives_have_clips_values_without_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with zipfile.ZipFile(tmp_path / "ViT.pt", "w") as archive:
        archive.writestr("ViT/code/__torch__.py", "")
    for backbone in (MIXED, GREYS):
        assert trained_with_normalisation(backbone, str(tmp_path / "ViT.pt")) == (CLIP_MEAN, CLIP_STD)
    assert not caplog.records
