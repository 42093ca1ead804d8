"""ICTS, implicit category token sampling: sample category tokens from a VAE on the global feature (CoPS, "ICTS")."""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomalib_cops.models.cops.prototypes import init_linear
from anomalib_cops.precision import in_full_precision


class CategoryVAE(nn.Module):
    """VAE whose encoder and decoder have one hidden layer each; every layer is as wide as the joint space.

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
        """Return the mean and the logarithm of the variance of each image's latent code."""
        hidden = F.relu(self.hidden(cls))
        return self.mean(hidden), self.log_variance(hidden)

    def decode(self, latent: Float[Tensor, "batch samples dim"]) -> Float[Tensor, "batch samples dim"]:
        """Decode latent codes into category tokens."""
        return self.decoder(latent)


def reparametrize(
    mean: Float[Tensor, "batch dim"],
    log_variance: Float[Tensor, "batch dim"],
    noise: Float[Tensor, "batch samples dim"],
) -> Float[Tensor, "batch samples dim"]:
    """Turn standard normal noise into latent codes of the posterior."""
    return mean.unsqueeze(1) + (0.5 * log_variance).exp().unsqueeze(1) * noise


@in_full_precision
def reconstruction_loss(
    cls: Float[Tensor, "batch dim"], decoded: Float[Tensor, "batch dim"], *, all_pairs: bool = False
) -> Float[Tensor, ""]:
    """Return the mean squared distance between global features and their decoded samples.

    Args:
        cls: global features.
        decoded: one decoded sample per image.
        all_pairs: compare every decoded sample with every image of the batch, as a broadcast in the official code
            does.
    """
    difference = cls.unsqueeze(0) - decoded.unsqueeze(1) if all_pairs else cls - decoded
    return difference.square().mean()
