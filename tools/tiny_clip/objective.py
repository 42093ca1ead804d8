"""The training losses of the tiny CLIP: contrast of whole pictures with sentences, and of patches with states."""

import math
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from anomalib_cops.encoder.image import walk
from anomalib_cops.encoder.open_clip_block import OpenClipBlock
from anomalib_cops.encoder.trunk import OpenClipTrunk
from tools.tiny_clip.captions import PICTURED, Captions, tokenize
from tools.tiny_clip.vocabulary import vocabulary

TEMPERATURE = 0.07
"""Divisor of the cosines of patches and states, as in the methods."""
TRACE = 0.15
"""Share of a patch up to which a defect in it is only a trace."""


@dataclass(frozen=True)
class Weights:
    """Weight of every loss term."""

    state: float = 1.0
    text: float = 0.5
    bare: float = 0.5
    generic: float = 0.5
    pictured: float = 0.5
    defect: float = 0.3
    local: float = 2.0
    ordinary: float = 0.7
    middle: float = 0.5
    head: float = 1.0


class Trainee(nn.Module):
    """The model in training: open_clip's CLIP, the vocabulary rows in use, and heads that are dropped afterwards.

    Args:
        config: the model configuration in open_clip's format.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.clip = open_clip.CLIP(**config)
        self.clip.logit_scale.data.fill_(math.log(1 / TEMPERATURE))
        ids = vocabulary()
        self.rows = nn.Parameter(self.clip.token_embedding.weight.detach()[ids].clone())
        # The full table takes no part in training; it is filled when the model is saved.
        self.clip.token_embedding.requires_grad_(False)
        self.register_buffer("ids", ids)
        self.ids: Tensor
        place = torch.full((config["text_cfg"]["vocab_size"],), len(ids))
        place[ids] = torch.arange(len(ids))
        self.register_buffer("place", place, persistent=False)
        self.place: Tensor
        dim = config["embed_dim"]
        self.heads = nn.ModuleList([nn.Linear(dim, 1), nn.Linear(dim, 1)])

    def encode_text(
        self, sentences: list[str], looks: Float[Tensor, "last words dim"] | None = None, noise: float = 0.0
    ) -> Float[Tensor, "sentences dim"]:
        """Return unit text features; words without a row of their own get the mean row.

        Args:
            sentences: plain sentences.
            looks: for the last of the sentences, the vectors that replace the two words of ``PICTURED``.
            noise: length of the noise that is added to every such word, as a share of the word's length.
        """
        ids = tokenize(sentences)
        table = torch.cat([self.rows, self.rows.mean(0, keepdim=True)])
        x = table[self.place[ids]]
        if looks is not None:
            for word, look in zip(PICTURED, looks.unbind(1), strict=True):
                there = (ids[-len(looks) :] == word)[..., None]
                said = look[:, None]
                if noise:
                    spread = noise * said.norm(dim=-1, keepdim=True) / said.shape[-1] ** 0.5
                    said = said + spread * torch.randn(len(looks), ids.shape[1], look.shape[-1])
                x = torch.cat([x[: -len(looks)], torch.where(there, said, x[-len(looks) :])])
        x = x + self.clip.positional_embedding[: ids.shape[1]]
        for block in map(OpenClipBlock, self.clip.transformer.resblocks):
            query, key, value = block.qkv(x)
            x = block.feed_forward(x + block.attend(query, key, value, causal=True))
        ends = x[torch.arange(len(ids)), ids.argmax(1)]
        return F.normalize((self.clip.ln_final(ends) @ self.clip.text_projection).float(), dim=-1)

    def encode_image(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "2 batch dim"], dict[str, Float[Tensor, "batch patches dim"]]]:
        """Return unit features: of the class token with and without the last norm, and of the patches by path."""
        visual = self.clip.visual
        trunk = OpenClipTrunk(visual, visual.positional_embedding)
        blocks, taken = trunk.blocks, {}
        x = trunk.embed(images)
        for index, (ordinary, local) in enumerate(walk(blocks, x, range(len(blocks)))):
            x = ordinary
            if local is not None and index == len(blocks) // 2:
                taken["middle"] = local
            if local is not None and index == len(blocks) - 1:
                taken |= {"local": local, "ordinary": ordinary}
        cls = torch.stack([visual.ln_post(x[:, 0]), x[:, 0]]) @ visual.proj
        patches = {name: F.normalize(trunk.project(tokens[:, 1:]).float(), dim=-1) for name, tokens in taken.items()}
        return F.normalize(cls.float(), dim=-1), patches

    def start_from(self, state: dict[str, Tensor]) -> None:
        """Load the weights of a CLIP of the same configuration.

        The losses compare cosines, so the projection is scaled to the size of a random one.
        """
        self.clip.load_state_dict(state)
        projection = self.clip.visual.proj
        projection.data *= len(projection) ** -0.5 / projection.std()
        self.rows.data.copy_(state["token_embedding.weight"][self.ids])

    def full_state(self) -> dict[str, Tensor]:
        """Return the weights of the CLIP with the vocabulary rows in the token table."""
        state = {key: value.detach().clone() for key, value in self.clip.state_dict().items()}
        state["token_embedding.weight"][self.ids] = self.rows.detach()
        return state


def losses(
    trainee: Trainee,
    images: Float[Tensor, "pairs 2 3 height width"],
    coverage: Float[Tensor, "pairs grid grid"],
    categories: Int[Tensor, " pairs"],
    defects: Int[Tensor, " pairs"],
    captions: Captions,
) -> dict[str, Tensor]:
    """Return all loss terms, unweighted, by the names in ``Weights``.

    Args:
        trainee: the model.
        images: pictures without and with their defect.
        coverage: anomalous share of every patch of the second picture.
        categories: position of each pair's category in ``captions.bare``.
        defects: position of each pair's defect in ``captions.defects``.
        captions: sentences of this step.
    """
    pairs = len(images)
    global_features, patches = trainee.encode_image(images.flatten(0, 1))
    share = share_of_both(coverage)
    # Pairs alternate between sentences with the product's name, without it, and with features of the picture for words.
    told = torch.arange(pairs) % 3
    looks = looks_of(trainee, patches["local"], share)[told == 2]
    text = trainee.encode_text(captions.all(), looks.repeat_interleave(2, 0))
    states, bare, generic, named, pictured = text.split([len(kind) for kind in captions.kinds()])
    scale = trainee.clip.logit_scale.exp().clamp(max=100)
    category = categories.repeat_interleave(2)
    anomalous = torch.arange(2).repeat(pairs)
    own_state = 2 * category + anomalous

    def classify(texts: Tensor, target: Tensor, features: Tensor = global_features) -> Tensor:
        logits = scale * features @ texts.T
        return F.cross_entropy(logits.flatten(0, 1), target.repeat(len(features)))

    similarity = scale * states @ global_features[0].T
    positives = (torch.arange(len(states))[:, None] == own_state).float()
    shown = positives.sum(1) > 0
    spread = positives[shown] / positives[shown].sum(1, keepdim=True)

    own = states.unflatten(0, (-1, 2))[categories]
    own[told == 0] = generic
    own[told == 2] = pictured.unflatten(0, (-1, 2))
    seen = told.repeat_interleave(2) == 2
    by_words = scale * torch.einsum("gid,isd->gis", global_features[:, seen], own.repeat_interleave(2, 0)[seen])
    own = own.repeat_interleave(2, 0)
    target = (share / TRACE).clamp(max=1)
    dense = {name: _dense(contrast(features, own), target) for name, features in patches.items()}
    head_logits = [
        head(patches[name] * 10)[..., 0] for head, name in zip(trainee.heads, ("local", "ordinary"), strict=True)
    ]
    return {
        "state": classify(states, own_state),
        "text": F.cross_entropy(similarity[shown], spread),
        "bare": classify(bare, category),
        "generic": classify(generic, anomalous),
        "pictured": F.cross_entropy(by_words.flatten(0, 1), anomalous[seen].repeat(2)),
        "defect": classify(named, defects, global_features[:, 1::2]),
        "head": torch.stack([_dense(logits, target) for logits in head_logits]).mean(),
        **dense,
    }


def share_of_both(coverage: Float[Tensor, "pairs grid grid"]) -> Float[Tensor, "images patches"]:
    """Return the defect's share of every patch of both pictures of each pair; the first has none."""
    return torch.stack([torch.zeros_like(coverage), coverage], 1).flatten(0, 1).flatten(1)


@torch.no_grad()
def looks_of(
    trainee: Trainee, patches: Float[Tensor, "images patches dim"], share: Float[Tensor, "images patches"]
) -> Float[Tensor, "pairs 2 dim"]:
    """Return mean patch features of the product and of the defect of every pair, to be used as words.

    Their length is drawn between a third and three times that of other words, as that of learned prompts varies.
    """
    damaged, weights = patches[1::2], torch.stack([share[1::2] == 0, share[1::2] > TRACE], 1).float()
    length = trainee.rows.norm(dim=-1).mean() * 3 ** torch.empty(len(damaged), 2, 1).uniform_(-1, 1)
    return F.normalize(weights @ damaged, dim=-1, eps=1e-6) * length


def contrast(
    patches: Float[Tensor, "batch patches dim"], states: Float[Tensor, "batch 2 dim"]
) -> Float[Tensor, "batch patches"]:
    """Return the log odds of the anomalous sentence for every patch."""
    cosine = patches @ states.transpose(1, 2) / TEMPERATURE
    return cosine[..., 1] - cosine[..., 0]


def _dense(logits: Float[Tensor, "batch patches"], target: Float[Tensor, "batch patches"]) -> Float[Tensor, ""]:
    """Return the cross entropy, in which the few anomalous patches count more, plus the Dice loss."""
    entropy = F.binary_cross_entropy_with_logits(logits, target, pos_weight=torch.tensor(3.0))
    probability = logits.sigmoid()
    overlap = 2 * (probability * target).sum(1) + 1
    return entropy + 0.5 * (1 - overlap / (probability.sum(1) + target.sum(1) + 1)).mean()
