"""Test CoPS's own parts: options, prompts, and the parameters that each loss trains."""

from collections.abc import Iterator
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor

from anomalib_cops.errors import InputError
from anomalib_cops.models.cops.settings import PRESETS, CoPSSettings
from anomalib_cops.models.cops.torch_model import CoPSModel
from tests.models.cases import make

LABELS = torch.tensor([0.0, 1.0, 0.0])


def trained(model: CoPSModel) -> Iterator[tuple[str, Tensor]]:
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def gradients(model: CoPSModel, terms: dict[str, Tensor], chosen: tuple[str, ...]) -> set[str]:
    model.zero_grad(set_to_none=True)
    torch.stack([terms[name] for name in chosen]).sum().backward(retain_graph=True)
    return {name.split(".")[0] for name, p in trained(model) if p.grad is not None and p.grad.abs().sum() > 0}


def test_each_loss_reaches_the_parts_it_should(clip: open_clip.CLIP, images: Tensor, masks: Tensor) -> None:
    model = make("CoPS", clip)
    terms = model.loss(images, masks, LABELS)
    assert gradients(model, terms, ("gather", "scatter")) == {"prototypes"}
    assert gradients(model, terms, ("image", "patch")) == {"context", "deep", "vae"}
    assert gradients(model, terms, ("kl", "recon")) == {"vae"}


def test_extremes_of_the_batch_are_an_option(clip: open_clip.CLIP, images: Tensor) -> None:
    model = make("CoPS", clip, min_max_over="batch")
    alone, together = model(images[:1]), model(images)
    assert not torch.allclose(alone.anomaly_map[0], together.anomaly_map[0], atol=1e-4)


def test_stream_noise_is_new_every_time_and_follows_the_global_seed(clip: open_clip.CLIP, images: Tensor) -> None:
    model = make("CoPS", clip, noise="stream")
    torch.manual_seed(3)
    first, second = model(images).pred_score, model(images).pred_score
    torch.manual_seed(3)
    assert torch.equal(first, model(images).pred_score)
    assert not torch.equal(first, second)


def test_the_seed_chooses_the_fixed_noise(clip: open_clip.CLIP) -> None:
    assert torch.equal(make("CoPS", clip).noise, make("CoPS", clip).noise)
    assert not torch.equal(make("CoPS", clip).noise, make("CoPS", clip, seed=1).noise)


def test_prior_samples_ignore_the_image_and_posterior_samples_do_not(clip: open_clip.CLIP, images: Tensor) -> None:
    for kind, same in (("prior", True), ("posterior", False)):
        model = make("CoPS", clip, test_categories=kind)
        tokens = model.category_tokens(model.encode(images))
        assert tokens is not None and tokens.shape == (3, 10, 48)
        assert torch.allclose(tokens[0], tokens[1]) is same


def test_prompt_slots_hold_what_the_paper_says(clip: open_clip.CLIP, images: Tensor) -> None:
    prototypes = torch.randn(3, 2, 6, 48)
    categories = torch.randn(3, 10, 48)
    for crossed in (True, False):
        model = make("CoPS", clip, cross_prototypes=crossed)
        prompts = model.prompts(3, prototypes, categories)
        assert prompts.shape == (3, 2, 10, 17, 48)
        slots = prompts[..., 1:15, :] - model.context[None, :, None]
        assert slots[..., :6, :].abs().max() < 1e-6
        for state in (0, 1):
            given = prototypes[:, 1 - state if crossed else state]
            torch.testing.assert_close(slots[:, state, :, 6:12], given[:, None].expand(-1, 10, -1, -1))
            torch.testing.assert_close(slots[:, state, :, 12:], categories[:, :, None].expand(-1, -1, 2, -1))


def test_deep_prompts_are_rounded_to_half_precision_unless_told_otherwise(clip: open_clip.CLIP, images: Tensor) -> None:
    rounded, exact = make("CoPS", clip), make("CoPS", clip, half_deep_prompts=False)
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


def test_encoders_that_do_not_fit_are_refused(clip: open_clip.CLIP) -> None:
    for layers, start in (((5,), 1), ((1,), 2)):
        with pytest.raises(InputError, match="do not fit the 4 vision blocks"):
            make("CoPS", clip, layers=layers, local_start=start)
