"""Test properties that the torch models of all methods share, in every variant."""

import copy
from collections.abc import Iterator
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor

from anomalib_cops.registry import MODELS
from tests.models.cases import CASES, make

VARIANTS = [(name, variant) for name, case in CASES.items() for variant in case.variants]
LABELS = torch.tensor([0.0, 1.0, 0.0])


def test_every_method_is_in_the_battery() -> None:
    assert set(CASES) == set(MODELS)


@pytest.fixture(params=VARIANTS, ids=["-".join(each) for each in VARIANTS])
def case(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    name, variant = request.param
    return name, CASES[name].variants[variant]


@pytest.fixture
def model(case: tuple[str, dict[str, Any]], clip: open_clip.CLIP) -> Any:
    return make(case[0], clip, **case[1])


def test_scores_and_maps_are_probabilities_of_the_right_shape(model: Any, images: Tensor) -> None:
    result = model(images)
    assert result.pred_score.shape == (3,)
    assert result.anomaly_map.shape == (3, *images.shape[-2:])
    for values in (result.pred_score, result.anomaly_map):
        assert torch.isfinite(values).all() and values.min() >= 0 and values.max() <= 1 + 1e-6
        assert not values.requires_grad


def test_score_does_not_depend_on_batch_mates_or_order(
    case: tuple[str, dict[str, Any]], model: Any, images: Tensor
) -> None:
    near = {"atol": CASES[case[0]].rounding, "rtol": 0}
    together, turned = model(images), model(images.flip(0))
    for index in range(3):
        alone = model(images[index : index + 1])
        torch.testing.assert_close(alone.pred_score[0], together.pred_score[index], **near)
        torch.testing.assert_close(alone.anomaly_map[0], together.anomaly_map[index], **near)
        torch.testing.assert_close(turned.pred_score[2 - index], together.pred_score[index], **near)


def test_same_image_same_bits_whatever_ran_before(model: Any, images: Tensor) -> None:
    first = model(images[:1])
    torch.manual_seed(99)
    model(images[1:])
    again = model(images[:1])
    assert torch.equal(first.pred_score, again.pred_score)
    assert torch.equal(first.anomaly_map, again.anomaly_map)


def test_different_images_get_different_scores(model: Any, images: Tensor) -> None:
    assert len(model(images).pred_score.unique()) == 3


def trained(model: Any) -> Iterator[tuple[str, Tensor]]:
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def test_every_trained_parameter_gets_a_gradient_and_no_frozen_one(
    case: tuple[str, dict[str, Any]], model: Any, images: Tensor, masks: Tensor
) -> None:
    terms = model.train().loss(images, masks, LABELS)
    assert all(torch.isfinite(value) for value in terms.values())
    terms["loss"].backward()
    idle = {name for name, p in trained(model) if p.grad is None or not p.grad.abs().sum() > 0}
    assert idle <= CASES[case[0]].inert
    assert all(p.grad is None and not p.requires_grad for p in model.clip.parameters())
    assert sum(p.numel() for _, p in trained(model)) < sum(p.numel() for p in model.clip.parameters())


def test_a_step_changes_scores_and_leaves_the_encoder_bit_equal(model: Any, images: Tensor, masks: Tensor) -> None:
    before = {name: value.clone() for name, value in model.clip.state_dict().items()}
    scores = model(images).pred_score
    optimizer = torch.optim.Adam([p for _, p in trained(model)], lr=0.1)
    model.train().loss(images, masks, LABELS)["loss"].backward()
    optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in model.clip.state_dict().items())
    assert not torch.equal(model.eval()(images).pred_score, scores)


@pytest.mark.parametrize("kind", ["all anomalous", "all normal", "one image"])
def test_unusual_batches_train(model: Any, images: Tensor, masks: Tensor, kind: str) -> None:
    if kind == "one image":
        terms = model.loss(images[1:2], masks[1:2], LABELS[1:2])
    else:
        value = float(kind == "all anomalous")
        terms = model.loss(images, torch.full_like(masks, value), torch.full((3,), value))
    assert all(torch.isfinite(term) for term in terms.values())
    terms["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for _, p in trained(model) if p.grad is not None)


def test_bfloat16_autocast_trains_and_predicts(model: Any, images: Tensor, masks: Tensor) -> None:
    exact = model(images)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(images)
        terms = model.train().loss(images, masks, LABELS)
    terms["loss"].backward()
    assert torch.isfinite(terms["loss"])
    assert all(torch.isfinite(p.grad).all() for _, p in trained(model) if p.grad is not None)
    assert torch.isfinite(rough.pred_score).all() and torch.isfinite(rough.anomaly_map).all()
    assert (rough.anomaly_map.float() - exact.anomaly_map).abs().mean() < 0.1
    # Text features cached under autocast must be as precise as others afterwards.
    assert torch.equal(model.eval()(images).pred_score, exact.pred_score)


@pytest.mark.parametrize("name", CASES)
def test_an_encoder_in_half_precision_gives_the_same_bits(
    name: str, clip: open_clip.CLIP, images: Tensor, masks: Tensor
) -> None:
    found = []
    for stored in (copy.deepcopy(clip).half(), copy.deepcopy(clip).half().float()):
        model = make(name, stored)
        result = model(images)
        torch.manual_seed(5)
        model.train().loss(images, masks, LABELS)["loss"].backward()
        found.append([result.pred_score, result.anomaly_map, *(p.grad for _, p in trained(model))])
    held = {p.dtype for p in make(name, copy.deepcopy(clip).half()).clip.parameters()}
    assert held == {torch.float16, torch.float32}
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_constant_images_give_finite_scores(model: Any, images: Tensor) -> None:
    result = model(torch.zeros_like(images[:2]))
    assert torch.isfinite(result.anomaly_map).all() and torch.isfinite(result.pred_score).all()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("precision", [torch.float32, torch.float16])
@pytest.mark.parametrize("name", CASES)
def test_the_traced_graph_takes_any_batch_and_gives_the_same(
    name: str, precision: torch.dtype, clip: open_clip.CLIP, images: Tensor
) -> None:
    model = make(name, copy.deepcopy(clip).to(precision), **CASES[name].exportable)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (images[:2],), dynamic_shapes={"images": {0: batch}})
    for count in (1, 3):
        expected, found = model(images[:count]), program.module()(images[:count])
        torch.testing.assert_close(found.pred_score, expected.pred_score, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.anomaly_map, expected.anomaly_map, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_fresh_weights_are_used_whatever_was_remembered(name: str, clip: open_clip.CLIP, images: Tensor) -> None:
    model = make(name, clip)
    first = model(images).pred_score
    state = {key: 1.5 * value for key, value in trained(model)}
    model.load_state_dict(state, strict=False)
    other = model(images).pred_score
    assert not torch.equal(first, other)
    model.load_state_dict({key: value / 1.5 for key, value in state.items()}, strict=False)
    torch.testing.assert_close(model(images).pred_score, first, atol=1e-5, rtol=0)
