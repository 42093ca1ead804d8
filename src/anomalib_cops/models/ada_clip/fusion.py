"""HSF, hybrid semantic fusion: mix the most anomalous patches into the image feature (AdaCLIP, section 3.3).

This is the computation of the official code. The paper instead clusters all patches and keeps the most anomalous
cluster.
"""

import warnings

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from anomalib_cops.errors import InputError

PATCHES_PER_CLUSTER = 5
LOCAL_SHARE = 0.2


def strongest(probability: Float[Tensor, "batch patches"], clusters: int) -> Int[Tensor, "batch chosen"]:
    """Return the indices of the most anomalous patches, the strongest first: five per cluster, or all if fewer."""
    return probability.topk(min(probability.shape[1], PATCHES_PER_CLUSTER * clusters), dim=1).indices


def choose(
    patches: Float[Tensor, "layers batch patches dim"], indices: Int[Tensor, "batch chosen"]
) -> Float[Tensor, "layers batch chosen dim"]:
    """Select the patches with these indices, the same ones in all layers."""
    layers, dim = patches.shape[0], patches.shape[-1]
    return patches.gather(2, indices[None, :, :, None].expand(layers, -1, -1, dim))


def cluster(
    chosen: Float[Tensor, "layers batch chosen dim"], clusters: int, seed: int | None
) -> Int[Tensor, "batch chosen"]:
    """Cluster the patches of each image by k-means on their features of all layers; return each patch's cluster number.

    Args:
        chosen: patches to cluster.
        clusters: number of clusters.
        seed: seed of k-means, the same for every image, so that its clusters do not depend on the other images of the
            batch. None uses numpy's global random state, as the official code does.

    Raises:
        InputError: features are NaN or infinite.
    """
    # Imported only here, since every start of anomalib imports this module to register the model.
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    points = chosen.detach().float().movedim(0, 2).flatten(2).cpu()
    if not torch.isfinite(points).all():
        raise InputError(
            "AdaCLIP: image features are NaN or infinite, because an image holds such values or the training has "
            "diverged; look at the images, or lower learning_rate."
        )
    kmeans = KMeans(clusters, n_init=1, random_state=seed)
    with warnings.catch_warnings():
        # Equal patches give fewer clusters, which gather_clusters takes into account.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = [torch.from_numpy(kmeans.fit_predict(image)).long() for image in points.numpy()]
    return torch.stack(labels).to(chosen.device)


def gather_clusters(
    chosen: Float[Tensor, "layers batch chosen dim"], labels: Int[Tensor, "batch chosen"]
) -> Float[Tensor, "batch dim"]:
    """Return the normalised mean of the cluster centres; every cluster with members has the same weight.

    A centre is the mean over its members and all layers. In this mean of means, each patch has the weight 1 / (number
    of clusters * size of its cluster).
    """
    members = F.one_hot(labels).sum(dim=1)
    sizes = members.gather(1, labels) * (members > 0).sum(dim=1, keepdim=True)
    return F.normalize((chosen.mean(dim=0) / sizes.unsqueeze(-1)).sum(dim=1), dim=-1)


def fuse(local: Float[Tensor, "batch dim"], cls: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
    """Return the normalised weighted mean of the clustered patches' feature and the class feature."""
    return F.normalize(LOCAL_SHARE * local + (1 - LOCAL_SHARE) * cls, dim=-1)
