"""Test the pure functions of CoPS against hand computation."""

import pytest
import torch

from anomalib_cops.models.cops.category_vae import reconstruction_loss
from anomalib_cops.models.cops.prototypes import center_losses, nearest_distance, neighbourhood_mean
from anomalib_cops.models.cops.spatial import distance_weight, glocal_score, min_max


def test_neighbourhood_mean_counts_the_outside_as_zeros() -> None:
    patches = torch.arange(9.0).reshape(1, 1, 9, 1)
    averaged = neighbourhood_mean(patches, 3)[0, 0, :, 0].reshape(3, 3)
    assert averaged[1, 1] == 4
    assert averaged[0, 0] == pytest.approx((0 + 1 + 3 + 4) / 9)
    assert torch.equal(neighbourhood_mean(patches, 1), patches)


def test_nearest_distance_by_hand() -> None:
    patches = torch.tensor([[[2.0, 0.0], [1.0, 1.0], [0.0, -3.0]]])
    prototypes = torch.tensor([[[1.0, 0.0], [0.0, 5.0]]])
    expected = torch.tensor([[0.0, 1 - 0.5**0.5, 1.0]])
    torch.testing.assert_close(nearest_distance(patches, prototypes), expected, atol=1e-6, rtol=0)


def test_center_losses_by_hand() -> None:
    normal, anomalous = torch.tensor([[0.1, 0.5], [0.3, 0.9]]), torch.tensor([[0.2, 0.6], [0.8, 0.4]])
    patches = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    gather, scatter = center_losses(normal, anomalous, patches)
    assert gather == pytest.approx(0.2) and scatter == pytest.approx(0.5)
    assert center_losses(normal, anomalous, torch.ones(2, 2))[0] == 0
    assert center_losses(normal, anomalous, torch.zeros(2, 2))[1] == 0


def test_min_max_by_hand() -> None:
    distance = torch.tensor([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0]])
    assert torch.equal(min_max(distance), torch.tensor([[0.0, 1.0, 0.5], [0.0, 0.0, 0.0]]))
    assert torch.equal(min_max(distance, "batch"), (distance - 1) / 4)


def test_weight_and_score_by_hand() -> None:
    weight = distance_weight(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 1.0]]), 0.25)
    torch.testing.assert_close(weight, torch.tensor([[0.25 + 0.375, 0.75]]))
    assert glocal_score(torch.tensor([0.5]), torch.tensor([[0.1, 0.8]]), 0.9) == pytest.approx(0.45 + 0.08)


def test_reconstruction_over_pairs_or_each_with_its_own() -> None:
    cls, decoded = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [2.0]])
    assert reconstruction_loss(cls, decoded) == pytest.approx((1 + 0) / 2)
    assert reconstruction_loss(cls, decoded, all_pairs=True) == pytest.approx((1 + 4 + 1 + 0) / 4)
