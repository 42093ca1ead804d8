"""Test the linear probe, and image towers that have no text tower, which it alone can use."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from anomalib_cops import AnomalyCLIP, LinearProbe, Predictor
from anomalib_cops.encoder import image_only_names, load_clip, native_image_size
from anomalib_cops.encoder.normalisation import trained_with_normalisation
from anomalib_cops.errors import InputError
from tests.models.good_images import write
from tests.models.runs import engine, predict, transfer
from tests.towers.listed import list_small_tower
from tests.towers.random_tower import known

DINO = "vit_small_plus_patch16_dinov3"
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def dino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a small DINOv3, as timm's repository holds it."""
    list_small_tower(known(DINO), tmp_path / "tower", monkeypatch)
    return tmp_path / "tower"


def test_the_map_is_what_the_equations_say(tmp_path: Path) -> None:
    model = LinearProbe(backbone="tiny", visualizer=False, seed=3, sigma=0.0, layers=[2, 4]).eval()
    images = torch.rand(2, 3, 120, 120, generator=torch.Generator().manual_seed(0))
    found = model(images)
    torch_model, grid = model.model, model.clip.grid
    normal = model.pre_processor(images)
    tokens = model.clip.image.tokens(normal, layers=[2, 4])
    logits = torch.zeros(2, grid * grid)
    for head, layer in zip(torch_model.patches, tokens.patches, strict=True):
        centred = layer - layer.mean(dim=-1, keepdim=True)
        scaled = centred / (centred.var(dim=-1, correction=0, keepdim=True) + 1e-5).sqrt()
        logits += (scaled @ head.weight[0] + head.bias) / 2
    expected = F.interpolate(logits.sigmoid().view(2, 1, grid, grid), 120, mode="bilinear")[:, 0]
    torch.testing.assert_close(found.anomaly_map, expected, atol=1e-6, rtol=0)


def test_it_learns_to_rank_images_of_categories_it_never_saw(tmp_path: Path) -> None:
    model = LinearProbe(backbone="tiny", visualizer=False, seed=0, epochs=4)
    data = transfer(source_categories=["leather", "wood", "washer"], synthetic_samples=24)
    run = engine(tmp_path, max_epochs=4)
    run.train(model, datamodule=data)
    scores = run.test(model, datamodule=data)
    assert scores[0]["image_AUROC"] > 0.7


def test_an_image_tower_alone_compares_with_references(dino: Path, tmp_path: Path) -> None:
    model = LinearProbe(backbone=DINO, pretrained=str(dino), image_size=80, visualizer=False, seed=0)
    good = write(tmp_path / "good", 3)
    assert len(model.load_references(good).files) == 3
    path = model.save_weights(tmp_path / "probe.safetensors")
    expected = torch.cat([batch.pred_score for batch in predict(model, tmp_path / "run", tmp_path / "good")])
    predictor = Predictor(str(path))
    found = torch.tensor([predictor(path).score for path in good])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_images_are_normalised_as_the_weights_were_trained(dino: Path) -> None:
    clip = load_clip(DINO, str(dino), 48)
    assert (clip.mean, clip.std) == IMAGENET
    assert clip.tokenizer is None


def test_towers_of_two_trainings_get_the_values_of_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"x": torch.zeros(1)}, file)
    assert trained_with_normalisation(known("vit_large_patch16_dinov3"), str(file)) == IMAGENET
    assert "uses mean (0.485, 0.456, 0.406)" in caplog.text and "'sat493m'" in caplog.text


@pytest.mark.parametrize(("name", "size"), [("vit_base_patch16_dinov3", 256), ("vit_base_patch14_dinov2", 518)])
def test_the_native_size_is_timms(name: str, size: int) -> None:
    assert native_image_size(known(name)) == size


def test_a_method_that_reads_words_refuses_an_image_tower_alone_before_anything_is_fetched() -> None:
    with pytest.raises(
        InputError, match="AnomalyCLIP compares images with words, .* has no text tower; use LinearProbe"
    ):
        AnomalyCLIP(backbone=known(DINO), pretrained="lvd1689m")


def test_the_text_tower_of_an_image_tower_alone_is_refused(dino: Path) -> None:
    clip = load_clip(DINO, str(dino), 48)
    with pytest.raises(InputError, match="has no text tower"):
        _ = clip.text


def test_what_an_image_tower_alone_does_not_have_is_refused(dino: Path) -> None:
    with pytest.raises(InputError, match="neither a file nor a tag of backbone .*; known tags: lvd1689m"):
        load_clip(DINO, "openai")
    with pytest.raises(InputError, match="has no QuickGELU"):
        load_clip(DINO, str(dino), 48, quick_gelu=True)


def test_a_file_of_another_tower_is_refused(dino: Path, tmp_path: Path) -> None:
    state = load_file(dino / "model.safetensors")
    del state["reg_token"]
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="reg_token"):
        load_clip(DINO, str(tmp_path / "other.safetensors"), 48)


def test_names_that_are_almost_right_are_corrected() -> None:
    with pytest.raises(InputError, match=f"Unknown backbone.*{DINO}"):
        load_clip(f"{known(DINO)}x", "lvd1689m")


def test_a_release_of_timm_without_the_tower_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anomalib_cops.encoder.load.image_only_names", lambda: ("vit_base_patch14_dinov2",))
    with pytest.raises(InputError, match=r"needs timm 1\.0\.20 or newer"):
        load_clip("vit_base_patch16_dinov3", "lvd1689m")


def test_official_checkpoints_are_refused(tmp_path: Path) -> None:
    torch.save({"patches": torch.zeros(1)}, tmp_path / "official.pth")
    with pytest.raises(InputError, match="LinearProbe has no official code"):
        LinearProbe(backbone="tiny", weights=str(tmp_path / "official.pth"))


def test_names_are_those_of_vision_transformers() -> None:
    assert image_only_names() and all(name.startswith("vit_") for name in image_only_names())
