"""Test that OpenVINO runs the frozen image tower inside torch models, with the same results."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anomalib_cops import AdaCLIP, AnomalyCLIP, LinearProbe, Predictor
from anomalib_cops.encoder import FrozenCLIP, ImageTokens
from anomalib_cops.encoder.openvino_tower import GRAPH, OpenVINOTower, graph_folder
from anomalib_cops.errors import InputError
from benchmark.plan.entries import MethodConfig
from tests.benchmark.fake import matrix
from tests.models.cases import encoder
from tests.models.good_images import write
from tests.models.runs import engine, predict, transfer
from tests.towers.random_tower import known, random_tower

pytestmark = pytest.mark.usefixtures("unchecked")
SIDE = 40
WAYS: list[dict[str, Any]] = [
    {"layers": [4]},
    {"layers": [1, 3], "local_start": 2},
    {"layers": [2, 4], "local_start": 1, "describe": True},
]
TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep graphs in a folder of the test."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return graph_folder()


def images(count: int, side: int = SIDE) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(4))


def accelerated(clip: FrozenCLIP) -> FrozenCLIP:
    clip.graphs = OpenVINOTower()
    return clip


def assert_close(found: ImageTokens, expected: ImageTokens) -> None:
    for name in ("cls", "patches", "descriptors"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
            torch.testing.assert_close(ours, theirs, atol=TOLERANCE * max(1.0, float(theirs.abs().max())), rtol=0)


@pytest.mark.parametrize(("way", "half"), [*((way, False) for way in WAYS), (WAYS[1], True)], ids=str)
def test_tokens_are_torchs_in_batches_of_any_size(way: dict[str, Any], half: bool) -> None:
    model = encoder().half() if half else encoder()
    plain, fast = FrozenCLIP(copy.deepcopy(model), SIDE), accelerated(FrozenCLIP(model, SIDE))
    batch = images(3)
    expected = plain.image.tokens(batch, **way)
    assert_close(fast.image.tokens(batch, **way), expected)
    alone = fast.image.tokens(batch[1:2], **way)
    torch.testing.assert_close(alone.patches, expected.patches[:, 1:2], atol=2e-5, rtol=0)
    again = fast.image.tokens(batch, **way)
    assert torch.equal(again.patches, fast.image.tokens(batch, **way).patches)


@pytest.mark.parametrize("family", ["EVA02-B-16", "ViT-B-16-SigLIP", "ViT-L-14-CLIPA"])
def test_towers_of_other_families_run_too(family: str, tmp_path: Path) -> None:
    tower = random_tower(known(family), tmp_path, small=True)
    plain = tower.frozen()
    expected = plain.image.tokens(images(2, plain.image_size), layers=[2, 4], local_start=1)
    fast = accelerated(tower.frozen())
    assert_close(fast.image.tokens(images(2, plain.image_size), layers=[2, 4], local_start=1), expected)


def test_a_graph_is_kept_for_later_runs_and_made_for_other_weights(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    way = WAYS[0]
    first = accelerated(FrozenCLIP(encoder(), SIDE)).image.tokens(images(1), **way)
    assert len([*hub.glob(f"*/{GRAPH}")]) == 1
    made: list[Path] = []
    convert = OpenVINOTower._convert
    monkeypatch.setattr(OpenVINOTower, "_convert", lambda self, *to: (made.append(to[-1]), convert(self, *to)))
    again = accelerated(FrozenCLIP(encoder(), SIDE)).image.tokens(images(1), **way)
    assert torch.equal(again.patches, first.patches) and not made
    changed = encoder()
    changed.visual.transformer.resblocks[0].ln_1.weight.data += 0.5
    other = accelerated(FrozenCLIP(changed, SIDE)).image.tokens(images(1), **way)
    assert len(made) == 1 and not torch.allclose(other.patches, first.patches, atol=1e-3)
    assert {path.name for path in hub.iterdir()} == {path.parent.name for path in hub.glob(f"*/{GRAPH}")}


def test_weights_that_change_in_place_are_not_confused_with_earlier_ones() -> None:
    clip = accelerated(FrozenCLIP(encoder(), SIDE))
    before = clip.image.tokens(images(1), layers=[4]).patches
    with torch.no_grad():
        clip.model.visual.transformer.resblocks[0].ln_1.weight += 0.5
    assert not torch.allclose(clip.image.tokens(images(1), layers=[4]).patches, before, atol=1e-3)


def test_a_conversion_that_fails_leaves_nothing(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("openvino.save_model", fail)
    with pytest.raises(OSError, match="disk is full"):
        accelerated(FrozenCLIP(encoder(), SIDE)).image.tokens(images(1), layers=[4])
    assert not [*hub.iterdir()]


def test_copies_and_pickles_make_their_own_graphs() -> None:
    model = LinearProbe(backbone="tiny", seed=0, visualizer=False, runtime="openvino").eval()
    batch = torch.rand(2, 3, 120, 120, generator=torch.Generator().manual_seed(4))
    expected = model(batch).pred_score
    assert torch.equal(copy.deepcopy(model)(batch).pred_score, expected)
    # The pickle of this test is its own.
    assert torch.equal(pickle.loads(pickle.dumps(model.model)).encode(batch).patches, model.model.encode(batch).patches)  # noqa: S301


def test_references_and_tiles_use_it(tmp_path: Path) -> None:
    good = write(tmp_path / "good", 3)
    scores = []
    for runtime in ("torch", "openvino"):
        model = LinearProbe(backbone="tiny", seed=0, visualizer=False, runtime=runtime, tiles="2x2")
        model.load_references(good)
        model.save_weights(tmp_path / "w.safetensors")
        scores.append(torch.cat([each.pred_score for each in predict(model, tmp_path, tmp_path / "good")]))
    torch.testing.assert_close(*scores, atol=TOLERANCE, rtol=0)
    found = Predictor(str(tmp_path / "w.safetensors"), runtime="openvino", batch_size=3)(good)
    assert [each.score for each in found] == pytest.approx(scores[0].tolist(), abs=TOLERANCE)


def test_a_training_fills_its_cache_through_it(tmp_path: Path) -> None:
    learned = []
    for runtime in ("torch", "openvino"):
        model = LinearProbe(
            backbone="tiny", seed=0, epochs=2, visualizer=False, runtime=runtime, feature_cache=str(tmp_path / "cache")
        )
        run = engine(tmp_path / runtime, max_epochs=2)
        run.train(model, datamodule=transfer(source_categories=["leather"], synthetic_samples=4))
        learned.append(model.trained_state())
    for name, value in learned[0].items():
        torch.testing.assert_close(learned[1][name], value, atol=1e-4, rtol=0)
    # The features of both are kept apart, as they differ in the last digits.
    names = [path.name for path in (tmp_path / "cache").rglob("*.safetensors")]
    assert len(names) == len(set(names)) > 0 and len(names) % 2 == 0


def test_what_adds_to_the_tower_is_refused() -> None:
    with pytest.raises(InputError, match="AdaCLIP puts prompts into the image tower, so runtime='openvino'"):
        AdaCLIP(backbone="tiny", runtime="openvino")
    model = AnomalyCLIP(backbone="tiny", local_feed_forward=True, runtime="openvino", visualizer=False)
    with pytest.raises(InputError, match="adds to the image tower"):
        model.eval()(torch.rand(1, 3, 120, 120))


def test_other_names_precisions_and_a_missing_package_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="runtime='onnx' must be torch or openvino"):
        LinearProbe(backbone="tiny", runtime="onnx")
    clip = accelerated(FrozenCLIP(encoder(), SIDE)).to(torch.bfloat16)
    with pytest.raises(
        InputError, match=r"needs weights in float32, and they are in torch.bfloat16; use precision=32-true"
    ):
        clip.image.tokens(images(1), layers=[4])
    monkeypatch.setattr("anomalib_cops.encoder.openvino_tower.find_spec", lambda _: None)
    with pytest.raises(InputError, match="needs openvino; run pip install"):
        LinearProbe(backbone="tiny", runtime="openvino")


def test_a_benchmark_tells_the_runtime_apart_only_where_it_is_not_torch() -> None:
    def fingerprints(**options: Any) -> list[str]:
        methods = [MethodConfig("One", "AnomalyCLIP", options={"epochs": 1, **options})]
        return [cell.fingerprint for cell in matrix(methods=methods).cells()]

    assert fingerprints() != fingerprints(runtime="openvino")
