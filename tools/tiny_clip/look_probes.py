"""Linear probes that find foreign looks in the features, and the gaps that training closes for them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

_LENGTH = 10
_RATE = 1e-2
_STEPS = 3
_PATHS = ("local", "ordinary", "middle")


@dataclass(frozen=True)
class Places:
    """Which look every patch shows, and whether it is foreign there.

    Attributes:
        look: index into ``LOOKS``.
        foreign: 1 for patches of a foreign look.
        clean: 1 for patches without any; patches with a trace of it count as neither.
    """

    look: Int[Tensor, "images patches"]
    foreign: Float[Tensor, "images patches"]
    clean: Float[Tensor, "images patches"]

    def balance(self) -> Float[Tensor, "images patches"]:
        """Return weights of patches: those of either kind add up to 1 in every picture that has some."""
        kinds = (self.clean, self.foreign)
        return torch.stack([kind / kind.sum(1, keepdim=True).clamp(min=1) for kind in kinds]).sum(0)

    def halves(self) -> list[tuple[Float[Tensor, "images patches"], Float[Tensor, "images patches"]]]:
        """Return, of every look that is foreign in one picture and normal in another, the patches of both kinds."""
        pairs = [(self.foreign * (self.look == look), self.clean * (self.look == look)) for look in self.look.unique()]
        return [(foreign, clean) for foreign, clean in pairs if foreign.any() and clean.any()]


class LookProbes(nn.Module):
    """Logistic regressions that say "foreign" of patches and of pictures, whatever the look.

    A prompt that is the same for all images is such a regression. They are fitted to the features as those change, and
    the towers are trained so that the regressions find nothing: then what is normal can only be told from the picture.

    Args:
        dim: size of the joint space.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.of_patches = nn.ModuleList([nn.Linear(dim, 1) for _ in _PATHS])
        self.of_pictures = nn.Linear(dim, 1)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=_RATE)

    @torch.autocast("cpu", enabled=False)
    def fit(
        self, pictures: Float[Tensor, "2 images dim"], patches: dict[str, Float[Tensor, "images n dim"]], places: Places
    ) -> None:
        """Take a few steps in full precision towards the best regressions on features, which stay as they are."""
        found = [patches[path].detach().float() * _LENGTH for path in _PATHS]
        shown, second = pictures.detach().float() * _LENGTH, _second(pictures)
        halves = places.halves()
        for _ in range(_STEPS):
            loss = F.binary_cross_entropy_with_logits(self.of_pictures(shown)[..., 0], second)
            for probe, features in zip(self.of_patches, found, strict=True):
                odds = probe(features)[..., 0]
                missed, alarm = F.softplus(-odds), F.softplus(odds)
                each = [weighted_mean(missed, foreign) + weighted_mean(alarm, clean) for foreign, clean in halves]
                loss = loss + torch.stack(each).mean() / 2
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def gaps(
        self, pictures: Float[Tensor, "2 images dim"], patches: dict[str, Float[Tensor, "images n dim"]], places: Places
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Return the mean difference of odds between foreign and normal patches of a look, and that of pictures."""
        of_patches, halves = [], places.halves()
        for probe, path in zip(self.of_patches, _PATHS, strict=True):
            odds = _judge(probe, patches[path])
            each = [weighted_mean(odds, a) - weighted_mean(odds, b) for a, b in halves]
            of_patches.append(torch.stack(each).mean().abs())
        odds = _judge(self.of_pictures, pictures)
        return torch.stack(of_patches).mean(), (odds[:, 1::2] - odds[:, ::2]).mean(1).abs().mean()


def weighted_mean(values: Float[Tensor, "*any"], weights: Float[Tensor, "*any"]) -> Float[Tensor, ""]:
    """Return the mean of values, by weights that need not add up to 1."""
    return (values * weights).sum() / weights.sum().clamp(min=1e-6)


def _judge(probe: nn.Module, features: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows"]:
    """Return a probe's odds; gradients reach the features alone."""
    assert isinstance(probe, nn.Linear)
    return F.linear(features * _LENGTH, probe.weight.detach(), probe.bias.detach())[..., 0]


def _second(pictures: Float[Tensor, "2 images dim"]) -> Float[Tensor, "2 images"]:
    return (torch.arange(pictures.shape[1]) % 2).float().expand(pictures.shape[:2])
