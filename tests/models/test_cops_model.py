"""The model battery: shapes, gradients, independence of neighbours, determinism; options and degenerate input."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jaxtyping
import open_clip
import pytest
import torch
from torch import Tensor

from anomalib_cops.clip import FrozenCLIP
from anomalib_cops.clip.load import build
from anomalib_cops.errors import InputError
from anomalib_cops.models.cops.settings import PRESETS, CoPSSettings
from anomalib_cops.models.cops.torch_model import CoPSModel

SIDE = 40
CONFIG: dict[str, Any] = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": SIDE, "layers": 3, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 48, "heads": 2, "layers": 10},
    "quick_gelu": True,
}
ABLATIONS: dict[str, dict[str, Any]] = {
    "full": {},
    "static prompts": {"states": "static", "categories": "static", "spatial": False},
    "without ESTS": {"states": "static"},
    "without ICTS": {"categories": "static"},
    "without SAGA": {"spatial": False},
    "posterior": {"test_categories": "posterior"},
    "paper's objective": {"objective": "paper"},
    "two layers": {"layers": (2, 3)},
    "other sizes": {"n_prototypes": 3, "n_samples": 4, "context_tokens": 5, "category_tokens": 1, "deep_depth": 2},
}


@pytest.fixture(scope="module")
def encoder() -> open_clip.CLIP:
    torch.manual_seed(0)
    return build(CONFIG)


def make(encoder: open_clip.CLIP, **settings: Any) -> CoPSModel:
    torch.manual_seed(1)
    model = CoPSModel(FrozenCLIP(encoder, SIDE, name="small"), replace(CoPSSettings(), **settings))
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture(params=list(ABLATIONS))
def model(request: pytest.FixtureRequest, encoder: open_clip.CLIP) -> CoPSModel:
    return make(encoder, **ABLATIONS[request.param])


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def masks() -> Tensor:
    masks = torch.zeros(3, SIDE, SIDE)
    masks[1, :11, 20:] = 1
    return masks


LABELS = torch.tensor([0.0, 1.0, 0.0])


def test_scores_and_maps_are_probabilities_of_the_right_shape(model: CoPSModel, images: Tensor) -> None:
    result = model(images)
    assert result.pred_score.shape == (3,)
    assert result.anomaly_map.shape == (3, SIDE, SIDE)
    for values in (result.pred_score, result.anomaly_map):
        assert torch.isfinite(values).all() and values.min() >= 0 and values.max() <= 1
        assert not values.requires_grad


def test_score_does_not_depend_on_batch_mates_or_order(model: CoPSModel, images: Tensor) -> None:
    together, turned = model(images), model(images.flip(0))
    for index in range(3):
        alone = model(images[index : index + 1])
        torch.testing.assert_close(alone.pred_score[0], together.pred_score[index], atol=1e-6, rtol=0)
        torch.testing.assert_close(alone.anomaly_map[0], together.anomaly_map[index], atol=1e-6, rtol=0)
        torch.testing.assert_close(turned.pred_score[2 - index], together.pred_score[index], atol=1e-6, rtol=0)


def test_same_image_same_bits_whatever_ran_before(model: CoPSModel, images: Tensor) -> None:
    first = model(images[:1])
    torch.manual_seed(99)
    model(images[1:])
    again = model(images[:1])
    assert torch.equal(first.pred_score, again.pred_score)
    assert torch.equal(first.anomaly_map, again.anomaly_map)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No shape checks, which take the symbolic sizes of a traced graph for wrong ones."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("unchecked")
def test_the_traced_graph_takes_any_batch_and_gives_the_same(encoder: open_clip.CLIP, images: Tensor) -> None:
    model = make(encoder).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (images[:2],), dynamic_shapes={"images": {0: batch}})
    for count in (1, 3):
        expected, found = model(images[:count]), program.module()(images[:count])
        torch.testing.assert_close(found.pred_score, expected.pred_score, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.anomaly_map, expected.anomaly_map, atol=1e-5, rtol=0)


def trained(model: CoPSModel) -> Iterator[tuple[str, Tensor]]:
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def test_every_trained_parameter_gets_a_gradient_and_no_frozen_one(
    model: CoPSModel, images: Tensor, masks: Tensor
) -> None:
    terms = model.loss(images, masks, LABELS)
    assert all(torch.isfinite(value) for value in terms.values())
    terms["loss"].backward()
    idle = {name for name, p in trained(model) if p.grad is None or not p.grad.abs().sum() > 0}
    assert not idle
    assert all(p.grad is None for p in model.clip.parameters())
    assert sum(p.numel() for _, p in trained(model)) < sum(p.numel() for p in model.clip.parameters())


def test_a_step_leaves_the_encoder_bit_equal(model: CoPSModel, images: Tensor, masks: Tensor) -> None:
    before = {name: value.clone() for name, value in model.clip.state_dict().items()}
    optimizer = torch.optim.Adam([p for _, p in trained(model)], lr=0.1)
    model.loss(images, masks, LABELS)["loss"].backward()
    optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in model.clip.state_dict().items())


def gradients(model: CoPSModel, terms: dict[str, Tensor], chosen: tuple[str, ...]) -> set[str]:
    model.zero_grad(set_to_none=True)
    torch.stack([terms[name] for name in chosen]).sum().backward(retain_graph=True)
    return {name.split(".")[0] for name, p in trained(model) if p.grad is not None and p.grad.abs().sum() > 0}


def test_each_loss_reaches_the_parts_it_should(encoder: open_clip.CLIP, images: Tensor, masks: Tensor) -> None:
    model = make(encoder)
    terms = model.loss(images, masks, LABELS)
    assert gradients(model, terms, ("gather", "scatter")) == {"prototypes"}
    assert gradients(model, terms, ("image", "patch")) == {"context", "deep", "vae"}
    assert gradients(model, terms, ("kl", "recon")) == {"vae"}


@pytest.mark.parametrize("objective", ["official", "paper"])
@pytest.mark.parametrize("kind", ["all anomalous", "all normal", "one image"])
def test_unusual_batches_train(
    encoder: open_clip.CLIP, images: Tensor, masks: Tensor, objective: str, kind: str
) -> None:
    model = make(encoder, objective=objective)
    if kind == "one image":
        terms = model.loss(images[1:2], masks[1:2], LABELS[1:2])
    else:
        value = float(kind == "all anomalous")
        terms = model.loss(images, torch.full_like(masks, value), torch.full((3,), value))
    assert all(torch.isfinite(term) for term in terms.values())
    terms["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for _, p in trained(model) if p.grad is not None)


def test_constant_images_give_finite_maps(encoder: open_clip.CLIP) -> None:
    for over in ("image", "batch"):
        result = make(encoder, min_max_over=over)(torch.zeros(2, 3, SIDE, SIDE))
        assert torch.isfinite(result.anomaly_map).all() and torch.isfinite(result.pred_score).all()


def test_extremes_of_the_batch_are_an_option(encoder: open_clip.CLIP, images: Tensor) -> None:
    model = make(encoder, min_max_over="batch")
    alone, together = model(images[:1]), model(images)
    assert not torch.allclose(alone.anomaly_map[0], together.anomaly_map[0], atol=1e-4)


def test_stream_noise_is_new_every_time_and_follows_the_global_seed(encoder: open_clip.CLIP, images: Tensor) -> None:
    model = make(encoder, noise="stream")
    torch.manual_seed(3)
    first, second = model(images).pred_score, model(images).pred_score
    torch.manual_seed(3)
    assert torch.equal(first, model(images).pred_score)
    assert not torch.equal(first, second)


def test_the_seed_chooses_the_fixed_noise(encoder: open_clip.CLIP) -> None:
    assert torch.equal(make(encoder).noise, make(encoder).noise)
    assert not torch.equal(make(encoder).noise, make(encoder, seed=1).noise)


def test_prior_samples_ignore_the_image_and_posterior_samples_do_not(encoder: open_clip.CLIP, images: Tensor) -> None:
    for kind, same in (("prior", True), ("posterior", False)):
        model = make(encoder, test_categories=kind)
        tokens = model.category_tokens(model.encode(images))
        assert tokens is not None and tokens.shape == (3, 10, 48)
        assert torch.allclose(tokens[0], tokens[1]) is same


def test_prompt_slots_hold_what_the_paper_says(encoder: open_clip.CLIP, images: Tensor) -> None:
    prototypes = torch.randn(3, 2, 6, 48)
    categories = torch.randn(3, 10, 48)
    for crossed in (True, False):
        model = make(encoder, cross_prototypes=crossed)
        prompts = model.prompts(3, prototypes, categories)
        assert prompts.shape == (3, 2, 10, 17, 48)
        slots = prompts[..., 1:15, :] - model.context[None, :, None]
        assert slots[..., :6, :].abs().max() < 1e-6
        for state in (0, 1):
            given = prototypes[:, 1 - state if crossed else state]
            torch.testing.assert_close(slots[:, state, :, 6:12], given[:, None].expand(-1, 10, -1, -1))
            torch.testing.assert_close(slots[:, state, :, 12:], categories[:, :, None].expand(-1, -1, 2, -1))


def test_deep_prompts_are_rounded_to_half_precision_unless_told_otherwise(
    encoder: open_clip.CLIP, images: Tensor
) -> None:
    rounded, exact = make(encoder), make(encoder, half_deep_prompts=False)
    x = torch.zeros(2, 17, 48)
    placed = rounded.deep(x, 1)
    assert torch.equal(placed[0, 1:5], rounded.deep.tokens[0].half().float())
    assert torch.equal(exact.deep(x, 8)[1, 1:5], exact.deep.tokens[7])
    assert torch.equal(exact.deep(x, 0), x) and torch.equal(exact.deep(x, 9), x)
    assert not placed[:, 0].any() and not placed[:, 5:].any()


def test_presets_are_the_official_switches() -> None:
    training = ("epochs", "learning_rate")
    assert CoPSSettings(**{k: v for k, v in PRESETS["default"].items() if k not in training}) == CoPSSettings()
    visa, mvtec = PRESETS["visa"], PRESETS["mvtec"]
    assert (visa["neighbourhood"], visa["alpha"], visa["beta"], visa["reconstruction"]) == (5, 0.26, 0.9, False)
    assert (mvtec["neighbourhood"], mvtec["alpha"], mvtec["beta"], mvtec["reconstruction"]) == (3, 0.35, 1.0, True)
    assert (visa["epochs"], mvtec["epochs"]) == (10, 5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": -0.1}, r"beta=-0.1 must be in \[0, 1\]"),
        ({"n_samples": 0}, "n_samples=0 must be at least 1"),
        ({"deep_length": 7}, "deep_length=7 must be between 0 and context_tokens"),
        ({"layers": (3, 2)}, "must be ascending"),
        ({"sigma": -1.0}, "sigma=-1.0 must be at least 0"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CoPSSettings(**settings)


def test_encoders_that_do_not_fit_are_refused(encoder: open_clip.CLIP) -> None:
    wide = build({**CONFIG, "embed_dim": 24})
    with pytest.raises(InputError, match=r"text width \(48\) equals its joint dimension \(24\)"):
        CoPSModel(FrozenCLIP(wide, SIDE))
    for layers, start in (((4,), 1), ((1,), 2)):
        with pytest.raises(InputError, match="do not fit the 3 vision blocks"):
            make(encoder, layers=layers, local_start=start)
