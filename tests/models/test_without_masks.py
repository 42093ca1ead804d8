"""Test losses of batches in which some images, or all, have no masks."""

from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor

from anomalib_cops.errors import InputError
from anomalib_cops.registry import METHODS, MODELS
from tests.models.cases import CASES, SIDE, make

LABELS = torch.tensor([0.0, 1.0, 1.0, 0.0])
MASKED = torch.tensor([True, True, False, False])
VARIANTS = [(name, variant) for name, case in CASES.items() for variant in case.variants]
OF_LABELS = [(name, variant) for name, variant in VARIANTS if name != "VCPCLIP"]
ids = {"ids": "-".join}


@pytest.fixture
def images() -> Tensor:
    """Return four images: normal and anomalous with a mask, anomalous and normal without."""
    return torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def masks() -> Tensor:
    """Return the masks of these images; the third, which is not known, says nothing."""
    masks = torch.zeros(4, SIDE, SIDE)
    masks[1, :11, 20:] = 1
    return masks


def loss(model: Any, images: Tensor, masks: Tensor, rows: slice = slice(None), masked: Any = None) -> dict[str, Tensor]:
    """Return the loss of some rows, with the same random numbers for an image in whatever batch."""
    inputs = {"noise": torch.randn(4, 48, generator=torch.Generator().manual_seed(3))[rows]} if has_noise(model) else {}
    given = {} if masked is None else {"masked": masked[rows]}
    return model.loss(images[rows], masks[rows], LABELS[rows], **inputs, **given)


def has_noise(model: Any) -> bool:
    return type(model).__name__ == "CoPSModel"


def gradients(model: Any, value: Tensor) -> dict[str, Tensor]:
    model.zero_grad(set_to_none=True)
    value.backward(retain_graph=True)
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("case", VARIANTS, **ids)
def test_all_masks_known_is_the_loss_without_saying_so(
    case: tuple[str, str], clip: open_clip.CLIP, images: Tensor, masks: Tensor
) -> None:
    model = make(case[0], clip, **CASES[case[0]].variants[case[1]])
    said, unsaid = (loss(model, images, masks, masked=known) for known in (torch.ones(4, dtype=torch.bool), None))
    assert list(said) == list(unsaid)
    assert all(torch.equal(said[name], unsaid[name]) for name in said)


@pytest.mark.parametrize("case", VARIANTS, **ids)
def test_losses_of_pixels_are_those_of_the_images_with_masks_and_others_those_of_all(
    case: tuple[str, str], clip: open_clip.CLIP, images: Tensor, masks: Tensor
) -> None:
    model = make(case[0], clip, **CASES[case[0]].variants[case[1]])
    mixed = loss(model, images, masks, masked=MASKED)
    with_masks, everything = loss(model, images, masks, slice(2)), loss(model, images, masks)
    assert set(mixed) == {*model.loss_terms, "loss"}
    for name in model.loss_terms:
        expected = with_masks if name in model.pixel_terms else everything
        torch.testing.assert_close(mixed[name], expected[name])
    changed = sum(with_masks[name] - everything[name] for name in model.loss_terms if name in model.pixel_terms)
    if case[0] == "CoPS":
        changed = changed + 3 * (with_masks["patch"] - everything["patch"])
    if case[0] == "AnomalyCLIP":
        changed = model.settings.local_weight * changed
    torch.testing.assert_close(mixed["loss"], everything["loss"] + changed)


@pytest.mark.parametrize("name", MODELS)
def test_an_image_without_a_mask_gives_the_terms_of_pixels_no_gradient(
    name: str, clip: open_clip.CLIP, images: Tensor, masks: Tensor
) -> None:
    model = make(name, clip)
    terms = [term for term in model.loss_terms if term in model.pixel_terms]

    def found(images: Tensor, masks: Tensor) -> dict[str, Tensor]:
        mixed = loss(model, images, masks, masked=MASKED)
        return gradients(model, torch.stack([mixed[term] for term in terms]).sum())

    other_images, other_masks = images.clone(), masks.clone()
    other_images[2:] = 1.0
    other_masks[2:] = 1.0
    one, other = found(images, masks), found(other_images, other_masks)
    assert one and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("case", OF_LABELS, **ids)
def test_a_batch_without_masks_has_no_term_of_pixels_and_trains(
    case: tuple[str, str], clip: open_clip.CLIP, images: Tensor, masks: Tensor
) -> None:
    model = make(case[0], clip, **CASES[case[0]].variants[case[1]]).train()
    terms = loss(model, images, masks, masked=torch.zeros(4, dtype=torch.bool))
    assert set(terms) == {*model.loss_terms, "loss"} - set(model.pixel_terms)
    torch.testing.assert_close(terms["loss"], sum(value for name, value in terms.items() if name != "loss"))
    torch.testing.assert_close(terms["image"], loss(model, images, masks)["image"])
    found = gradients(model, terms["loss"])
    assert found and all(torch.isfinite(each).all() for each in found.values())


def test_the_image_loss_teaches_cops_s_prototypes_only_where_no_mask_does(
    clip: open_clip.CLIP, images: Tensor, masks: Tensor
) -> None:
    model = make("CoPS", clip)
    without = loss(model, images, masks, masked=torch.zeros(4, dtype=torch.bool))
    assert gradients(model, without["image"])["prototypes.queries"].abs().sum() > 0
    mixed = loss(model, images, masks, masked=MASKED)
    assert "prototypes.queries" not in gradients(model, mixed["image"])
    assert gradients(model, mixed["gather"])["prototypes.queries"].abs().sum() > 0


def test_vcp_clip_refuses_a_batch_without_masks(clip: open_clip.CLIP, images: Tensor, masks: Tensor) -> None:
    able = [name for name in METHODS if METHODS[name].lightning_class.learns_from_labels]
    said = f"VCPCLIP learns from pixels alone, .* train {', '.join(able[:-1])} or {able[-1]}, which"
    with pytest.raises(InputError, match=said):
        loss(make("VCPCLIP", clip), images, masks, masked=torch.zeros(4, dtype=torch.bool))
