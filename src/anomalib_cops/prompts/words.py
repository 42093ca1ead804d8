"""Turn features of the joint space into word embeddings, where a tower's words have another size."""

from torch import nn


def words_of_features(dim: int, width: int) -> nn.Module:
    """Return a module that maps vectors of the joint space to the size of word embeddings.

    The papers add features to words, which needs a CLIP in which both have the same size. Such a tower gets the
    identity, without parameters. Other towers get a learned matrix, which at first keeps lengths and angles as far as
    it can.

    Args:
        dim: size of the joint space.
        width: size of a word embedding.
    """
    if dim == width:
        return nn.Identity()
    linear = nn.Linear(dim, width, bias=False)
    nn.init.orthogonal_(linear.weight)
    return linear
