"""Compare our towers with open_clip's and timm's own calls on the same weights."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.encoder.tokenizer import Tokenizer
from tests.towers.random_tower import RandomTower

TOLERANCE = 1e-5
SENTENCES = ["a photo of a cat", "Ein Käfer, 3 mm lang!", "a damaged metal nut without flaw on the table"]


@dataclass(frozen=True)
class Comparison:
    """One line of the report.

    Attributes:
        name: what is compared.
        found: our result.
        expected: the result that it has to equal.
        tolerance: largest allowed difference, for values up to one; it grows with larger ones.
    """

    name: str
    found: Tensor
    expected: Tensor
    tolerance: float = TOLERANCE

    @property
    def difference(self) -> float:
        """Largest absolute difference; infinite if shapes differ or a value is no number."""
        if self.found.shape != self.expected.shape:
            return float("inf")
        return float((self.found.double() - self.expected.double()).abs().max().nan_to_num(float("inf")))

    @property
    def allowed(self) -> float:
        """The tolerance for values of this size."""
        return self.tolerance * max(1.0, float(self.expected.abs().max()))

    @property
    def holds(self) -> bool:
        """Whether the difference is allowed."""
        return self.difference <= self.allowed

    def __str__(self) -> str:
        name = self.name.replace(" ", "_").replace(":", "")
        return f"{name:<40}  {self.difference:.2e}  {self.allowed:.2e}  {'ok' if self.holds else 'FAIL'}"


@torch.no_grad()
def comparisons(tower: RandomTower) -> Iterator[Comparison]:
    """Yield every comparison of a tower."""
    clip = tower.frozen()
    before = {name: value.clone() for name, value in tower.model.state_dict().items()}
    native = torch.randn(2, 3, tower.image_size, tower.image_size, generator=torch.Generator().manual_seed(1))
    # Pixels at the border that fill no patch are ignored by timm's towers.
    images = native[..., : clip.image_size, : clip.image_size]
    yield from image_comparisons(tower, clip, images, native)
    if tower.tokenizer is not None:
        yield from text_comparisons(tower, clip, tower.tokenizer)
    yield from resized_comparisons(tower, clip)
    after = tower.model.state_dict()
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    yield Comparison("weights unchanged", torch.tensor(float(len(changed))), torch.tensor(0.0), 0.0)


def image_comparisons(tower: RandomTower, clip: FrozenCLIP, images: Tensor, native: Tensor) -> Iterator[Comparison]:
    """Compare the image tower at its native size."""
    last = clip.depth
    ordinary = clip.image.encode(images, layers=[last], normalize_cls=True)
    yield Comparison("encode_image", ordinary.cls, tower.model.encode_image(native))
    both = clip.image.encode(images, layers=[last], local_start=1, normalize_cls=True)
    yield Comparison("encode_image beside local path", both.cls, ordinary.cls)
    layers = list(range(1, last + 1))
    yield Comparison("taps", clip.image.tokens(images, layers=layers).patches, intermediates(tower.model, native))
    local = clip.image.tokens(images, layers=layers, local_start=1).patches
    yield Comparison("v-v path", local, written_out_local_path(clip, images))
    alone = clip.image.encode(images[:1], layers=[last], local_start=1, normalize_cls=True)
    yield Comparison("image alone and in a batch", alone.patches, both.patches[:, :1])
    trunk = clip.image.trunk
    patches = clip.image.tokens(images, layers=[last]).patches[0]
    pooled = [trunk.project_pooled(trunk.pool(prefixed(trunk, patches[:, [i]]))) for i in range(patches.shape[1])]
    yield Comparison("patch as an image of one patch", trunk.project(patches), torch.stack(pooled, dim=1))


def text_comparisons(tower: RandomTower, clip: FrozenCLIP, tokenizer: Tokenizer) -> Iterator[Comparison]:
    """Compare tokenizer and text tower."""
    length = clip.text.context_length
    ids = tokenizer.encode(SENTENCES, length)
    yield Comparison("tokenize", clip.text.tokenize(SENTENCES), ids, 0.0)
    expected = tower.model.encode_text(ids)
    yield Comparison("encode_text", clip.text.encode_sentences(SENTENCES), expected)
    # The words of a sentence in the slots of a template are the sentence.
    for sentence, feature in zip(SENTENCES, expected, strict=True):
        words = ids[SENTENCES.index(sentence)]
        end = clip.text.end_of_text(words[None])[0]
        embeddings = clip.text.embed(words[None, : clip.text.needed(clip.text.read_out(end))])
        yield Comparison("encode_text of one prompt", clip.text.encode(embeddings, clip.text.read_out(end))[0], feature)


def resized_comparisons(tower: RandomTower, clip: FrozenCLIP) -> Iterator[Comparison]:
    """Compare an image of another size with timm's own way to change the input size."""
    if not hasattr(tower.model.visual, "trunk"):
        return
    size = clip.image_size + 2 * clip.patch_size
    visual = copy.deepcopy(tower.model.visual)
    if not visual.trunk.dynamic_img_size:
        try:
            visual.trunk.set_input_size((size, size))
        except (AttributeError, AssertionError, TypeError):
            return  # Not every model of timm can.
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(2))
    larger = tower.frozen(size, position_resize="bicubic", position_antialias=True)
    found = larger.image.encode(images, layers=[clip.depth], normalize_cls=True).cls
    yield Comparison("encode_image at another size", found, visual(images), 1e-4)


def prefixed(trunk: Any, patch: Tensor) -> Tensor:
    """Return the tokens of an image of one patch: a class token is the patch too, other prefix tokens are left out."""
    return torch.cat([patch, patch], dim=1) if trunk.prefix else patch


def intermediates(model: Any, images: Tensor) -> Tensor:
    """Return the patch tokens after every block, as open_clip or timm gives them, or from hooks in older releases."""
    visual = model.visual
    if hasattr(visual, "trunk"):
        layers = visual.trunk.forward_intermediates(images, intermediates_only=True, output_fmt="NLC")
        return torch.stack(list(layers))
    seen: list[Tensor] = []
    # Older releases run their blocks with the tokens on the first axis.
    last: Callable[[Tensor], Tensor] = lambda x: x if x.shape[0] == len(images) else x.transpose(0, 1)  # noqa: E731
    hooks = [
        block.register_forward_hook(lambda _module, _given, tokens: seen.append(last(tokens)[:, 1:]))
        for block in visual.transformer.resblocks
    ]
    visual(images)
    for hook in hooks:
        hook.remove()
    return torch.stack(seen)


def written_out_local_path(clip: FrozenCLIP, images: Tensor) -> Tensor:
    """Return the v-v path after every block, from the ordinary path's values and softmax written out."""
    x = local = clip.image.embed(images)
    layers = []
    for block in clip.image.trunk.blocks:
        query, key, value = block.qkv(x)
        weights = (value @ value.mT / value.shape[-1] ** 0.5).softmax(dim=-1)
        # Attention whose queries and keys pick each token's own row passes on what it is given.
        local = local + passed_on(block, weights @ value)
        x = block.feed_forward(x + block.attend(query, key, value))
        layers.append(local[:, clip.image.trunk.prefix :])
    return torch.stack(layers)


def passed_on(block: Any, mixed: Tensor) -> Tensor:
    """Return the output projection of values that are mixed already."""
    own = torch.eye(mixed.shape[2], dtype=torch.bool)
    return block.attend(mixed, mixed, mixed, visible=own)
