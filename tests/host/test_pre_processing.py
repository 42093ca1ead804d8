"""Model input against Pillow, and on its way through a checkpoint and an export."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.tv_tensors import Mask

from anomalib_cops.encoder.normalisation import CLIP_MEAN, CLIP_STD
from anomalib_cops.host.graph_resize import GraphResize
from anomalib_cops.host.pre_processing import ClipPreProcessor, PillowResize

MEAN, STD = (np.array(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))


def levels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(("height", "width"), [(131, 150), (20, 24), (1, 1), (300, 40)])
def test_images_are_resized_as_pillow_does(height: int, width: int) -> None:
    picture = levels(height, width)
    image = torch.from_numpy(picture).permute(2, 0, 1) / 255
    found = ClipPreProcessor((42, 42)).transform(image)
    # Pillow 13 resizes tall images vertically first; all versions are told the order here.
    rows = Image.fromarray(picture).resize((42, height), Image.Resampling.BICUBIC)
    resized = np.asarray(rows.resize((42, 42), Image.Resampling.BICUBIC))
    expected = (resized.transpose(2, 0, 1) / 255 - MEAN) / STD
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_images_are_normalised_with_the_given_values_in_memory_and_in_graphs() -> None:
    mean, std = (0.5, 0.4, 0.3), (0.5, 0.25, 0.2)
    images = torch.from_numpy(levels(42, 42)).permute(2, 0, 1)[None] / 255
    expected = (images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    processor = ClipPreProcessor((42, 42), mean, std)
    for found in (processor.transform(images), processor(images)):
        torch.testing.assert_close(found, expected)
    graph = torch.export.export(processor, (images,)).module()
    torch.testing.assert_close(graph(images), expected)


def test_masks_are_resized_smoothly_and_cut_at_one_half() -> None:
    mask = np.zeros((90, 70), np.uint8)
    mask[10:33, 5:64] = 1
    found = PillowResize((42, 42))(Mask(torch.from_numpy(mask)))
    smooth = np.asarray(Image.fromarray(mask * 255).resize((42, 42), Image.Resampling.BILINEAR))
    assert np.array_equal(found.numpy(), (smooth / 255 > 0.5).astype(np.uint8))


def test_resizing_twice_is_resizing_once_and_batches_are_images_in_turn() -> None:
    resize = PillowResize((42, 42))
    images = torch.stack([torch.from_numpy(levels(60, 60)).permute(2, 0, 1) / 255] * 2)
    images[1] = images[1].flip(-1)
    batch = resize(images)
    assert torch.equal(resize(batch), batch)
    assert torch.equal(batch[1], resize(images[1]))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 100), (97, 131), (1, 1), (2160, 384), (42, 200)])
@pytest.mark.parametrize("size", [42, 120])
def test_what_is_exported_resizes_to_the_same_levels_as_pillow(size: int, height: int, width: int) -> None:
    processor = ClipPreProcessor((size, size))
    images = torch.from_numpy(levels(height, width)).permute(2, 0, 1)[None] / 255
    torch.testing.assert_close(processor(images), processor.transform(images), atol=1e-4, rtol=0)


def test_what_is_exported_leaves_images_of_the_right_size_alone() -> None:
    images = torch.rand(2, 3, 42, 42)
    assert torch.equal(GraphResize((42, 42))(images), images)
