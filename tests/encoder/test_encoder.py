"""The frozen encoder against open_clip's own calls."""

import copy
import io
from collections.abc import Iterable, Iterator

import open_clip
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.encoder.blocks import Block
from anomalib_cops.encoder.image import walk
from anomalib_cops.encoder.positions import resize_positions
from anomalib_cops.errors import InputError
from tests.encoder.conftest import IMAGE_SIZE


@pytest.fixture
def clip(small: open_clip.CLIP) -> FrozenCLIP:
    return FrozenCLIP(small, IMAGE_SIZE, name="small")


def test_class_feature_is_open_clips(clip: FrozenCLIP, images: Tensor) -> None:
    with torch.no_grad():
        theirs = clip.model.encode_image(images)
    ours = clip.image.encode(images, layers=[4], normalize_cls=True).cls
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def blocks(clip: FrozenCLIP) -> list[Block]:
    return clip.image.trunk.blocks


def test_local_path_leaves_no_trace_in_the_ordinary_one(clip: FrozenCLIP, images: Tensor) -> None:
    x = clip.image.embed(images)
    alone = [ordinary for ordinary, _ in walk(blocks(clip), x)]
    beside = [ordinary for ordinary, _ in walk(blocks(clip), x, range(4))]
    assert all(torch.equal(a, b) for a, b in zip(alone, beside, strict=True))
    ordinary = clip.image.encode(images, layers=[4])
    local = clip.image.encode(images, layers=[4], local_start=1)
    # Not bit by bit: where no patches of the last block are read, its class token is computed alone.
    torch.testing.assert_close(ordinary.cls, local.cls, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(ordinary.patches, local.patches, atol=1e-2)


def written_out_local_path(clip: FrozenCLIP, images: Tensor, start: int) -> Tensor:
    """The v-v path token by token and head by head, without fused attention."""
    x = clip.image.embed(images)
    local = x
    for number, block in enumerate(clip.model.visual.transformer.resblocks, start=1):
        if number == start:
            local = x
        y = block.ln_1(x)
        q, k, v = (y @ block.attn.in_proj_weight.T + block.attn.in_proj_bias).chunk(3, dim=-1)
        mixed: dict[str, list[Tensor]] = {"qk": [], "vv": []}
        for qh, kh, vh in zip(q.split(32, -1), k.split(32, -1), v.split(32, -1), strict=True):
            mixed["qk"].append((qh @ kh.mT / 32**0.5).softmax(-1) @ vh)
            mixed["vv"].append((vh @ vh.mT / 32**0.5).softmax(-1) @ vh)
        if number >= start:
            local = local + block.attn.out_proj(torch.cat(mixed["vv"], -1))
        x = x + block.attn.out_proj(torch.cat(mixed["qk"], -1))
        x = x + block.mlp(block.ln_2(x))
    return clip.model.visual.ln_post(local[:, 1:]) @ clip.model.visual.proj


@pytest.mark.parametrize("start", [1, 3])
def test_local_path_is_its_equation(clip: FrozenCLIP, images: Tensor, start: int) -> None:
    found = clip.image.encode(images, layers=[4], local_start=start).patches[0]
    torch.testing.assert_close(found, written_out_local_path(clip, images, start), atol=1e-5, rtol=1e-4)


def test_taps_are_read_where_they_are_asked_for(clip: FrozenCLIP, images: Tensor) -> None:
    several = clip.image.encode(images, layers=[2, 3, 4], local_start=1)
    assert several.patches.shape == (3, 3, clip.grid**2, clip.dim)
    for index, layer in enumerate((2, 3, 4)):
        assert torch.equal(several.patches[index], clip.image.encode(images, layers=[layer], local_start=1).patches[0])


def test_an_image_alone_is_the_image_in_a_batch(clip: FrozenCLIP, images: Tensor) -> None:
    together = clip.image.encode(images, layers=[4], local_start=1)
    alone = clip.image.encode(images[1:2], layers=[4], local_start=1)
    torch.testing.assert_close(alone.cls, together.cls[1:2], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(alone.patches, together.patches[:, 1:2], atol=1e-6, rtol=1e-5)


def test_sentences_are_open_clips(clip: FrozenCLIP) -> None:
    lines = ["a photo of a cat.", "a damaged metal nut on a table", "X"]
    with torch.no_grad():
        theirs = clip.model.encode_text(clip.text.tokenize(lines))
        ours = clip.text.encode_sentences(lines)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_tokens_after_the_read_out_change_nothing(clip: FrozenCLIP) -> None:
    embeddings = torch.randn(2, 77, clip.text_width)
    changed = embeddings.clone()
    changed[:, 6:] = 1000
    seen: list[int] = []

    def deep(x: Tensor, block: int) -> Tensor:
        seen.append(x.shape[1])
        return x

    assert torch.equal(clip.text.encode(embeddings, 5, deep), clip.text.encode(changed, 5))
    assert seen == [6, 6, 6], "tokens after the read-out position were computed"


def test_variants_of_a_prompt_are_whole_prompts_with_the_same_gradients(clip: FrozenCLIP) -> None:
    start, rest = torch.randn(2, 1, 5, 48), torch.randn(2, 4, 3, 48)
    replaced = torch.randn(2, 48)

    def deep(x: Tensor, block: int) -> Tensor:
        if block != 1:
            return x
        return torch.cat([x[:, :1], replaced.expand(x.shape[0], -1, -1), x[:, 3:]], dim=1)

    found = []
    for together in (True, False):
        leaves = [start.clone().requires_grad_(), rest.clone().requires_grad_()]
        prompts = torch.cat([leaves[0].expand(-1, 4, -1, -1), leaves[1]], dim=2)
        if together:
            prefix = clip.text.cache_prefix(prompts[:, 0, :5], deep)
            features = clip.text.encode(prompts[:, :, 5:].flatten(0, 1), 2, prefix=prefix).unflatten(0, (2, 4))
        else:
            features = clip.text.encode(prompts.flatten(0, 1), 7, deep).unflatten(0, (2, 4))
        features.square().sum().backward()
        found.append([features.detach(), *(leaf.grad for leaf in leaves)])
    for ours, whole in zip(*found, strict=True):
        torch.testing.assert_close(ours, whole, atol=1e-5, rtol=1e-5)


def test_each_prompt_is_read_at_its_own_end(clip: FrozenCLIP) -> None:
    embeddings = torch.randn(3, 9, clip.text_width)
    together = clip.text.encode(embeddings, [4, 8, 2])
    for row, end in enumerate([4, 8, 2]):
        alone = clip.text.encode(embeddings[row : row + 1], end)
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-6, rtol=1e-5)


def test_sentences_fill_the_context_and_no_more(clip: FrozenCLIP) -> None:
    fits = " ".join(["nut"] * (clip.text.context_length - 2))
    assert clip.text.end_of_text(clip.text.tokenize([fits])) == [clip.text.context_length - 1]
    with pytest.raises(InputError, match="'nut nut .* has more than the 77 tokens .* use a shorter name"):
        clip.text.tokenize(["short", fits + " nut"])


def test_tokens_that_a_walk_adds_are_not_taken_for_patches(clip: FrozenCLIP, images: Tensor) -> None:
    def longer(blocks: Iterable, x: Tensor, local_blocks: range, cls_block: int | None) -> Iterator:
        return walk(blocks, torch.cat([x, x[:, :2]], dim=1), local_blocks, cls_block)

    added = clip.image.tokens(images, layers=[1, 2], walk=longer)
    plain = clip.image.tokens(images, layers=[1, 2])
    assert added.patches.shape == plain.patches.shape
    assert not torch.allclose(added.patches, plain.patches, atol=1e-3)
    projected = clip.image.encode(images, layers=[1, 2], normalize_cls=True)
    assert torch.equal(clip.image.trunk.project(plain.patches), projected.patches)
    assert torch.equal(clip.image.project_cls(plain.cls), projected.cls)


def test_gradients_pass_through_the_text_tower_and_stop_at_the_weights(clip: FrozenCLIP) -> None:
    embeddings = torch.randn(2, 7, clip.text_width, requires_grad=True)
    clip.text.encode(embeddings, 6).square().sum().backward()
    assert embeddings.grad is not None and embeddings.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in clip.parameters())


def test_stays_frozen_and_in_evaluation_mode(clip: FrozenCLIP) -> None:
    clip.train()
    assert not any(module.training for module in clip.modules())
    assert not any(parameter.requires_grad for parameter in clip.parameters())


def test_half_precision_weights_are_run_in_float32(small: open_clip.CLIP, images: Tensor) -> None:
    features = FrozenCLIP(copy.deepcopy(small).half(), IMAGE_SIZE).image.encode(images, layers=[4])
    assert features.cls.dtype == features.patches.dtype == torch.float32


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("grid", [3, 6])
def test_positions_are_resized_as_a_picture_of_channels(mode: str, antialias: bool, grid: int) -> None:
    table = torch.randn(1 + 4 * 4, 5)
    resized = resize_positions(table, grid, mode, antialias)  # type: ignore[arg-type]
    assert torch.equal(resized[0], table[0])
    for channel in range(5):
        picture = table[1:, channel].reshape(1, 1, 4, 4)
        expected = F.interpolate(picture, (grid, grid), mode=mode, align_corners=False, antialias=antialias)
        torch.testing.assert_close(resized[1:, channel], expected.flatten())


def test_positions_are_resized_once_and_the_models_own_stay(small: open_clip.CLIP, images: Tensor) -> None:
    before = small.visual.positional_embedding.detach().clone()
    clip = FrozenCLIP(small, 48)
    assert clip.positions.shape == (37, 64)
    clip.image.encode(torch.zeros(1, 3, 48, 48), layers=[4])
    assert torch.equal(small.visual.positional_embedding, before)
    assert torch.equal(FrozenCLIP(small, IMAGE_SIZE).positions, before)


def test_an_image_size_off_the_patch_grid_names_its_neighbours(small: open_clip.CLIP) -> None:
    with pytest.raises(InputError, match="image_size=45 .* 8-pixel patches of backbone 'small'; use 40 or 48"):
        FrozenCLIP(small, 45, name="small")
    with pytest.raises(InputError, match="use 8 or 16"):
        FrozenCLIP(small, 3)


def test_images_of_another_size_are_refused(clip: FrozenCLIP) -> None:
    with pytest.raises(InputError, match="made for 32x32 images and got 40x32"):
        clip.image.encode(torch.zeros(1, 3, 32, 40), layers=[4])


def test_other_architectures_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="Backbone 'rn' cannot be used"):
        FrozenCLIP(nn.Linear(2, 2), 32, name="rn")


@pytest.mark.parametrize("way", ["deep copy", "pickle"])
def test_towers_of_a_copy_use_its_own_parameters(clip: FrozenCLIP, images: Tensor, way: str) -> None:
    if way == "deep copy":
        other = copy.deepcopy(clip)
    else:
        torch.save(clip, buffer := io.BytesIO())
        buffer.seek(0)
        other = torch.load(buffer, weights_only=False)
    assert other.image.trunk.visual is other.model.visual is not clip.model.visual
    assert other.image.trunk.positions is other.positions is not clip.positions
    assert torch.equal(other.image.encode(images, layers=[4]).cls, clip.image.encode(images, layers=[4]).cls)
    assert torch.equal(other.text.encode_sentences(["a nut"]), clip.text.encode_sentences(["a nut"]))


def test_towers_follow_a_module_that_is_moved_or_cast(clip: FrozenCLIP, images: Tensor) -> None:
    clip.to(torch.bfloat16)
    assert clip.image.encode(images, layers=[4]).cls.dtype == torch.bfloat16
    assert clip.text.encode_sentences(["a nut"]).dtype == torch.bfloat16
    clip.to("meta")
    assert clip.image.encode(images.to("meta"), layers=[4]).cls.device.type == "meta"
    assert clip.text.encode_sentences(["a nut"]).device.type == "meta"


def test_towers_are_saved_under_the_names_of_the_model_alone(clip: FrozenCLIP) -> None:
    assert list(clip.state_dict()) == [f"model.{name}" for name in clip.model.state_dict()]
    assert [name for name, _ in clip.named_buffers() if not name.startswith("model.")] == ["positions"]
