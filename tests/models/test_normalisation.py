"""Test that models normalise images as their encoder was trained, and that weight files record how."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anomalib_cops import AnomalyCLIP
from anomalib_cops.encoder import FrozenCLIP, load_clip
from anomalib_cops.encoder.normalisation import CLIP_MEAN, CLIP_STD
from anomalib_cops.errors import InputError
from anomalib_cops.example_grid import picture
from anomalib_cops.host.pre_processing import ClipPreProcessor
from anomalib_cops.weights.format import read_weights
from tests.models.runs import engine, transfer
from tests.models.weight_files import header, with_header

MEAN, STD = (0.5, 0.4, 0.3), (0.5, 0.25, 0.2)
FIRST_ENTRIES = {"backbone", "image_size", "quick_gelu", "pretrained", "digest"}
"""What version 0.1.0 reads of an encoder."""


@pytest.fixture
def other_values(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that gives all tiny CLIPs loaded after its call a mean and std other than CLIP's."""

    def load(*args: Any, **options: Any) -> FrozenCLIP:
        clip = load_clip(*args, **options)
        clip.identity = replace(clip.identity, mean=MEAN, std=STD)
        return clip

    return lambda: monkeypatch.setattr("anomalib_cops.models.assembly.load_clip", load)


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(2, 3, 120, 120, generator=torch.Generator().manual_seed(0))


def normalised(pictures: Tensor, mean: Any = MEAN, std: Any = STD) -> Tensor:
    return (pictures - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def model(**options: Any) -> Any:
    return AnomalyCLIP(backbone="tiny", visualizer=False, **options)


def test_a_model_normalises_as_its_encoder_was_trained(other_values: Any, pictures: Tensor) -> None:
    clips = model().pre_processor
    assert torch.equal(clips.transform(pictures), normalised(pictures, CLIP_MEAN, CLIP_STD))
    other_values()
    own = model().pre_processor
    # The second is what exported graphs contain.
    for found in (own.transform(pictures), own(pictures)):
        assert torch.equal(found, normalised(pictures))
    bare = model(pre_processor=False)
    assert torch.equal(bare.prepare(list(pictures)), normalised(pictures))
    tiled = model(tiles="auto")
    assert torch.equal(tiled.prepare(list(pictures)), normalised(pictures))


def test_a_pre_processor_of_the_users_own_stays_as_it_is(other_values: Any) -> None:
    other_values()
    assert model(pre_processor=ClipPreProcessor((120, 120))).pre_processor.mean == CLIP_MEAN


def test_a_subclass_may_still_make_the_pre_processor_from_the_size_alone(other_values: Any) -> None:
    class Larger(AnomalyCLIP):
        @staticmethod
        def configure_pre_processor(image_size: tuple[int, int] | None = None) -> ClipPreProcessor:
            return ClipPreProcessor(image_size or (240, 240))

    other_values()
    own = Larger(backbone="tiny", visualizer=False).pre_processor
    assert (own.image_size, own.mean, own.std) == ((120, 120), MEAN, STD)
    assert AnomalyCLIP.configure_pre_processor((42, 42)).mean == CLIP_MEAN


def test_weight_files_of_clips_values_are_those_of_the_first_version(tmp_path: Path) -> None:
    path = model().save_weights(tmp_path / "w.safetensors")
    assert json.loads(header(path)["encoder"]).keys() == FIRST_ENTRIES


def test_weight_files_record_other_values_which_have_to_match(other_values: Any, tmp_path: Path) -> None:
    clips = model()
    first = clips.save_weights(tmp_path / "clip.safetensors")
    other_values()
    others = model()
    assert others.clip.identity.digest == clips.clip.identity.digest
    path = others.save_weights(tmp_path / "w.safetensors")
    recorded = json.loads(header(path)["encoder"])
    assert (recorded["mean"], recorded["std"]) == (list(MEAN), list(STD))
    assert read_weights(path, "AnomalyCLIP").encoder == others.clip.identity
    assert model(weights=str(path)).pre_processor.std == STD
    with pytest.raises(InputError) as caught:
        clips.load_weights(read_weights(path, "AnomalyCLIP"))
    assert f"trained on images with mean {MEAN} and std {STD}" in str(caught.value)
    assert f"normalises with {CLIP_MEAN} and {CLIP_STD}; set pretrained to" in str(caught.value)
    with pytest.raises(InputError, match=r"trained on images with mean \(0.48145466"):
        model(weights=str(first))


@pytest.mark.parametrize("mean", [0.5, [0.5, 0.5], ["red", "green", "blue"], None])
def test_odd_values_in_a_header_end_in_a_sentence(tmp_path: Path, mean: Any) -> None:
    path = model().save_weights(tmp_path / "w.safetensors")
    odd = json.dumps({**json.loads(header(path)["encoder"]), "mean": mean})
    with pytest.raises(InputError, match="header that this version of anomalib-cops cannot read"):
        model(weights=with_header(path, tmp_path / "odd.safetensors", encoder=odd))


def test_a_model_that_adopts_another_encoder_adopts_its_values(
    other_values: Any, pictures: Tensor, tmp_path: Path
) -> None:
    plain = model()
    transform = plain.pre_processor.transform
    other_values()
    file = read_weights(model().save_weights(tmp_path / "w.safetensors"), "AnomalyCLIP")
    plain.adopt(file)
    plain.load_weights(file)
    assert plain.clip.mean == MEAN
    for found in (transform(pictures), plain.pre_processor.transform(pictures), plain.pre_processor(pictures)):
        assert torch.equal(found, normalised(pictures))


def test_cached_features_of_other_values_are_others(other_values: Any, tmp_path: Path) -> None:
    counts = []
    for _ in range(2):
        subject = model(feature_cache=str(tmp_path / "features"), seed=0)
        engine(tmp_path / "run", max_epochs=1).fit(subject, datamodule=transfer(synthetic_samples=4))
        counts.append(len(list((tmp_path / "features").rglob("*.safetensors"))))
        other_values()
    assert counts[0] > 0 and counts[1] == 2 * counts[0]


def test_pictures_of_results_undo_the_encoders_normalisation(pictures: Tensor) -> None:
    shown = picture(normalised(pictures)[0], MEAN, STD)
    torch.testing.assert_close(torch.from_numpy(shown), pictures[0].permute(1, 2, 0))
