"""The training losses on pictures of looks: name the appearance of pictures and patches, never their state."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from anomalib_cops.data.synthetic import LOOK_CATEGORIES
from anomalib_cops.data.synthetic.confusable import OWN_LOOK
from anomalib_cops.data.synthetic.looks import LOOKS
from tools.tiny_clip.look_captions import LookCaptions
from tools.tiny_clip.look_probes import LookProbes, Places, weighted_mean
from tools.tiny_clip.objective import TRACE, Trainee, contrast, looks_of, share_of_both

_OWN = torch.tensor([list(LOOKS).index(OWN_LOOK[name]) for name in LOOK_CATEGORIES])
_NOISE = 0.5
_APART, _SOFTNESS = 0.5, 0.1


@dataclass(frozen=True)
class LookWeights:
    """Weight of every loss term.

    Attributes:
        product: class features name product and its own look, of both pictures alike.
        picture_looks: class features name all looks in the picture.
        patch_look: patches name their look.
        meaning: a sentence that says "like" some patches means their look, and one that says "unlike" the opposite.
        pictured_patches: a pair of such sentences tells the patches of a picture apart.
        pictured: the same of both pictures' class features.
        apart: patches of the product's own look are alike, those of a foreign one are not.
        states: words for states say nothing about these pictures.
        patch_gap: no direction means "foreign" for patches of all looks.
        picture_gap: no direction means "foreign" for class features.
    """

    product: float = 0.5
    picture_looks: float = 0.3
    patch_look: float = 1.0
    meaning: float = 2.0
    pictured_patches: float = 2.0
    pictured: float = 1.0
    apart: float = 0.7
    states: float = 0.2
    patch_gap: float = 0.03
    picture_gap: float = 0.05


def look_losses(
    trainee: Trainee,
    probes: LookProbes,
    images: Float[Tensor, "pairs 2 3 height width"],
    coverage: Float[Tensor, "pairs grid grid"],
    categories: Int[Tensor, " pairs"],
    foreign: Int[Tensor, " pairs"],
    captions: LookCaptions,
) -> dict[str, Float[Tensor, ""]]:
    """Return all loss terms, unweighted, by the names in ``LookWeights``; fit the probes on the way.

    Args:
        trainee: the model.
        probes: they look for a direction that means "foreign".
        images: pictures without and with a foreign look in one place.
        coverage: share of every patch of the second picture that has the foreign look.
        categories: of every pair, an index into ``LOOK_CATEGORIES``.
        foreign: the other look of its second picture.
        captions: sentences of this step.
    """
    pictures, patches = trainee.encode_image(images.flatten(0, 1))
    share = share_of_both(coverage)
    both = torch.stack([_OWN[categories], foreign], 1)
    own_look, foreign_look = both.repeat_interleave(2, 0)[..., None].unbind(1)
    is_foreign = share > TRACE
    places = Places(torch.where(is_foreign, foreign_look, own_look), is_foreign.float(), (share == 0).float())

    swapped = torch.tensor(captions.swapped)
    words = looks_of(trainee, patches["local"], share)
    words = torch.where(swapped[:, None, None], words.flip(1), words).repeat_interleave(2, 0)
    kinds = captions.kinds()
    text = trainee.encode_text([sentence for kind in kinds for sentence in kind], words, noise=_NOISE)
    products, looks, states, pictured = text.split([len(kind) for kind in kinds])
    pictured = pictured.unflatten(0, (-1, 2))
    scale = trainee.clip.logit_scale.exp().clamp(max=100)

    probes.fit(pictures, patches, places)
    patch_gap, picture_gap = probes.gaps(pictures, patches, places)
    return {
        "product": _classify(scale * pictures, products, _of_same_product(categories)),
        "picture_looks": _classify(scale * pictures, looks, _looks_in(both)),
        "patch_look": _patch_look({path: scale * features for path, features in patches.items()}, looks, places),
        "meaning": _meaning(scale * pictured, looks, torch.where(swapped[:, None], both.flip(1), both), captions),
        **_told_apart(pictures, patches, pictured, swapped, places),
        "apart": _apart(patches["local"], places),
        "states": _said_of_states(pictures, patches, states.unflatten(0, (-1, 2))),
        "patch_gap": patch_gap,
        "picture_gap": picture_gap,
    }


def _classify(
    pictures: Float[Tensor, "2 images dim"], texts: Float[Tensor, "texts dim"], shares: Float[Tensor, "images texts"]
) -> Float[Tensor, ""]:
    return F.cross_entropy((pictures @ texts.T).flatten(0, 1), shares.repeat(2, 1))


def _of_same_product(categories: Int[Tensor, " pairs"]) -> Float[Tensor, "images pairs"]:
    """Return the share of each pair's sentence in what both pictures of a pair show."""
    same = (categories[:, None] == categories).float()
    return (same / same.sum(1, keepdim=True)).repeat_interleave(2, 0)


def _looks_in(both: Int[Tensor, "pairs 2"]) -> Float[Tensor, "images looks"]:
    """Return the share of each look in the names of what a picture shows: its own, in the second one also another."""
    shown = F.one_hot(both, len(LOOKS)).float()
    return torch.stack([shown[:, 0], shown.mean(1)], 1).flatten(0, 1)


def _patch_look(
    patches: dict[str, Float[Tensor, "images n dim"]], looks: Float[Tensor, "looks dim"], places: Places
) -> Float[Tensor, ""]:
    entropies = [
        F.cross_entropy((features @ looks.T).flatten(0, 1), places.look.flatten(), reduction="none")
        for features in patches.values()
    ]
    return _mean(weighted_mean(entropy.view_as(places.clean), places.balance()) for entropy in entropies)


def _meaning(
    pictured: Float[Tensor, "pairs 2 dim"],
    looks: Float[Tensor, "looks dim"],
    said: Int[Tensor, "pairs 2"],
    captions: LookCaptions,
) -> Float[Tensor, ""]:
    """Return how far sentences are from the look of the features in them, or from its opposite if they say "unlike"."""
    wanted = said.gather(1, torch.tensor(captions.of_defect).long())
    sense = torch.tensor(captions.alike).float() * 2 - 1
    meant = sense[..., None] * (pictured @ (looks - looks.mean(0)).T)
    return F.cross_entropy(meant.flatten(0, 1), wanted.flatten())


def _told_apart(
    pictures: Float[Tensor, "2 images dim"],
    patches: dict[str, Float[Tensor, "images n dim"]],
    pictured: Float[Tensor, "pairs 2 dim"],
    swapped: Bool[Tensor, " pairs"],
    places: Places,
) -> dict[str, Float[Tensor, ""]]:
    """Return how well pairs of sentences tell the patches of their pictures apart, and the two class features."""
    told, is_swapped = pictured.repeat_interleave(2, 0), swapped.repeat_interleave(2)
    expected = torch.where(is_swapped[:, None], 1 - places.foreign, places.foreign)
    second = torch.arange(2).repeat(len(swapped)).float()
    odds = contrast(pictures.transpose(0, 1), told).T
    return {
        "pictured_patches": _mean(
            _judged(contrast(features, told), expected, places.balance()) for features in patches.values()
        ),
        "pictured": F.binary_cross_entropy_with_logits(odds, torch.where(is_swapped, 1 - second, second).repeat(2, 1)),
    }


def _apart(patches: Float[Tensor, "images n dim"], places: Places) -> Float[Tensor, ""]:
    """Return how far patches of second pictures are from a cosine of one half with the mean of those of their look."""
    clean, foreign, balance = (each[1::2] for each in (places.clean, places.foreign, places.balance()))
    centre = F.normalize(clean[:, None] @ patches[1::2], dim=-1, eps=1e-6)
    away = (_APART - (patches[1::2] * centre).sum(-1)) / _SOFTNESS
    return _judged(away, foreign, balance)


def _said_of_states(
    pictures: Float[Tensor, "2 images dim"],
    patches: dict[str, Float[Tensor, "images n dim"]],
    states: Float[Tensor, "told 2 dim"],
) -> Float[Tensor, ""]:
    """Return how far the odds of words for states vary among the patches of a picture, and between two pictures."""
    each = states[torch.arange(pictures.shape[1]) % len(states)]
    found = []
    for path in ("local", "ordinary"):
        odds = contrast(patches[path], each)
        found.append((odds - odds.mean(1, keepdim=True)).square().mean())
    odds = contrast(pictures.transpose(0, 1), each)
    return _mean([*found, (odds[1::2] - odds[::2]).square().mean()])


def _judged(
    odds: Float[Tensor, "images patches"],
    expected: Float[Tensor, "images patches"],
    balance: Float[Tensor, "images patches"],
) -> Float[Tensor, ""]:
    return weighted_mean(F.binary_cross_entropy_with_logits(odds, expected, reduction="none"), balance)


def _mean(values: Iterable[Tensor]) -> Float[Tensor, ""]:
    return torch.stack(list(values)).mean()
