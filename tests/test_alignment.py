"""Test similarity, maps and smoothing against hand computation and SciPy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from anomalib_cops.alignment import cosine, enlarge, gaussian_smooth, probabilities, stretch, to_grid


def test_cosine_and_probabilities_by_hand() -> None:
    features = torch.tensor([[[3.0, 4.0], [0.0, -2.0]]])
    text = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    cosines = cosine(features, text)
    torch.testing.assert_close(cosines, torch.tensor([[[0.6, 0.8], [0.0, -1.0]]]))
    probability = probabilities(cosines)
    assert probability[0, 0, 1] == pytest.approx(1 / (1 + np.exp(-0.2 / 0.07)))
    torch.testing.assert_close(probability.sum(-1), torch.ones(1, 2))


def test_maps_keep_the_order_of_patches() -> None:
    grid = to_grid(torch.arange(9.0).unsqueeze(0))
    assert torch.equal(grid[0], torch.arange(9.0).reshape(3, 3))
    large = enlarge(grid.unsqueeze(1), 6)[0, 0]
    assert torch.equal(large, grid[0].repeat_interleave(2, 0).repeat_interleave(2, 1))


@pytest.mark.parametrize("sigma", [0.6, 4.0, 8.0])
@pytest.mark.parametrize("shape", [(40, 40), (23, 57), (5, 9), (1, 1)])
def test_smoothing_is_scipys_also_where_the_kernel_is_larger_than_the_map(sigma: float, shape: tuple[int, int]) -> None:
    maps = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    expected = np.stack([gaussian_filter(one, sigma) for one in maps.numpy()])
    torch.testing.assert_close(gaussian_smooth(maps, sigma), torch.from_numpy(expected), atol=2e-6, rtol=0)


def test_no_smoothing_is_no_change() -> None:
    maps = torch.rand(1, 4, 4)
    assert gaussian_smooth(maps, 0) is maps


def test_stretch_by_hand_and_of_constants() -> None:
    values = torch.tensor([[1.0, 3.0], [2.0, 2.0]])
    assert torch.equal(stretch(values, values.amin(), values.amax()), (values - 1) / 2)
    rows = stretch(values, values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True))
    assert torch.equal(rows, torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
