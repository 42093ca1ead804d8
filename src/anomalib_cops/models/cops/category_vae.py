"""ICTS, implicit category token sampling: a VAE on the global feature gives category tokens (CoPS, "ICTS")."""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomalib_cops.models.cops.prototypes import init_linear
from anomalib_cops.precision import in_full_precision


class CategoryVAE(nn.Module):
    """Encoder and decoder with one hidden layer each; every layer is as wide as the joint space.

    Args:
        dim: size of the joint space.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, dim)
        self.mean = nn.Linear(dim, dim)
        self.log_variance = nn.Linear(dim, dim)
        self.decoder = nn.Sequential(OrderedDict(hidden=nn.Linear(dim, dim), relu=nn.ReLU(), out=nn.Linear(dim, dim)))
        self.apply(init_linear)

    def posterior(
        self, cls: Float[Tensor, "batch dim"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Mean and logarithm of the variance of an image's latent code."""
        hidden = F.relu(self.hidden(cls))
        return self.mean(hidden), self.log_variance(hidden)

    def decode(self, latent: Float[Tensor, "batch samples dim"]) -> Float[Tensor, "batch samples dim"]:
        """Category tokens of latent codes."""
        return self.decoder(latent)


def reparametrize(
    mean: Float[Tensor, "batch dim"],
    log_variance: Float[Tensor, "batch dim"],
    noise: Float[Tensor, "batch samples dim"],
) -> Float[Tensor, "batch samples dim"]:
    """Latent codes of the posterior from standard normal noise."""
    return mean.unsqueeze(1) + (0.5 * log_variance).exp().unsqueeze(1) * noise


@in_full_precision
def reconstruction_loss(
    cls: Float[Tensor, "batch dim"], decoded: Float[Tensor, "batch dim"], *, all_pairs: bool = False
) -> Float[Tensor, ""]:
    """Mean squared distance between global features and what was decoded for them.

    Args:
        cls: global features.
        decoded: one decoded sample per image.
        all_pairs: compare every decoded sample with every image of the batch, as a broadcast in the official code
            does.
    """
    difference = cls.unsqueeze(0) - decoded.unsqueeze(1) if all_pairs else cls - decoded
    return difference.square().mean()
