"""Run every method on a random tower: scores, one step of training, and what has to stay as it was."""

from collections.abc import Iterator

import torch
from torch import Tensor

from anomalib_cops.encoder import FrozenCLIP
from tests.models.cases import CASES, make_on, method
from tests.towers.comparisons import Comparison
from tests.towers.random_tower import RandomTower

GRID = 5
NONE = torch.tensor(0.0)


def method_comparisons(tower: RandomTower) -> Iterator[Comparison]:
    """Yield the comparisons of all methods that the tower can carry, with small images."""
    clip = tower.frozen(GRID * tower.patch, position_resize="bicubic")
    images = torch.randn(2, 3, clip.image_size, clip.image_size, generator=torch.Generator().manual_seed(3))
    for name in sorted(CASES):
        if clip.tokenizer is None and method(name).reads_text:
            continue
        yield from comparisons_of(name, clip, images)


def comparisons_of(name: str, clip: FrozenCLIP, images: Tensor) -> Iterator[Comparison]:
    """Yield the comparisons of one method."""
    model = make_on(clip, name)
    scores = model(images).pred_score
    yield Comparison(f"{name}: scores again", model(images).pred_score, scores, 0.0)
    yield Comparison(f"{name}: image alone", model(images[:1]).pred_score, scores[:1], 5e-5)
    before = {key: value.clone() for key, value in clip.state_dict().items()}
    masks = torch.zeros(2, *images.shape[-2:])
    masks[1, : masks.shape[1] // 2] = 1
    trained = {key: value for key, value in model.named_parameters() if value.requires_grad}
    optimizer = torch.optim.Adam(trained.values(), lr=0.1)
    terms = model.train().loss(images, masks, torch.tensor([0.0, 1.0]))
    infinite = sum(not bool(torch.isfinite(value)) for value in terms.values())
    yield Comparison(f"{name}: losses that are not finite", torch.tensor(float(infinite)), NONE, 0.0)
    terms["loss"].backward()
    optimizer.step()
    changed = sum(not torch.equal(value, before[key]) for key, value in clip.state_dict().items())
    yield Comparison(f"{name}: frozen weights changed", torch.tensor(float(changed)), NONE, 0.0)
    after = model.eval()(images).pred_score
    state = {key: value.detach().clone() for key, value in trained.items()}
    fresh = make_on(clip, name)
    fresh.load_state_dict(state, strict=False)
    yield Comparison(f"{name}: scores of reloaded prompts", fresh.eval()(images).pred_score, after, 0.0)
