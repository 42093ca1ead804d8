"""Test losses against hand computation."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from anomalib_cops.losses import binary_cross_entropy, dice_loss, focal_loss, kl_to_standard_normal


def test_focal_loss_by_hand() -> None:
    probability = torch.tensor([[0.9, 0.1], [0.3, 0.7]])
    found = focal_loss(probability, torch.tensor([0.0, 1.0]))
    expected = (-(0.1**2) * math.log(0.9) - 0.3**2 * math.log(0.7)) / 2
    assert found == pytest.approx(expected, abs=1e-5)
    plain = focal_loss(probability, torch.tensor([0.0, 1.0]), gamma=0.0)
    assert plain == pytest.approx((-math.log(0.9) - math.log(0.7)) / 2, abs=1e-4)


def test_focal_loss_of_pixels_is_the_mean_over_all() -> None:
    probability = torch.rand(2, 1, 4, 4)
    states = torch.cat([1 - probability, probability], dim=1)
    target = (torch.rand(2, 4, 4) > 0.5).float()
    flat = focal_loss(states.permute(0, 2, 3, 1).reshape(-1, 2), target.flatten())
    torch.testing.assert_close(focal_loss(states, target), flat)


def test_focal_loss_is_finite_at_certainty() -> None:
    assert torch.isfinite(focal_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([1.0])))


def test_dice_loss_by_hand() -> None:
    probability = torch.tensor([[0.5, 1.0], [0.0, 0.0]])
    target = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert dice_loss(probability, target) == pytest.approx(((1 - 3 / 3.5) + 0) / 2)


def test_binary_cross_entropy_by_hand() -> None:
    found = binary_cross_entropy(torch.tensor([0.2, 0.9]), torch.tensor([0.0, 1.0]))
    assert found == pytest.approx(-(math.log(0.8) + math.log(0.9)) / 2)


def test_divergence_is_torchs() -> None:
    mean, log_variance = torch.randn(3, 5), torch.randn(3, 5)
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0, 1)).sum(1).mean()
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)
