"""AnomalyCLIP in plain torch: one learned pair of prompts for all objects."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from anomalib.data import InferenceBatch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomalib_cops.alignment import TEMPERATURE, cosine, enlarge_smoothly, gaussian_smooth, probabilities, to_grid
from anomalib_cops.encoder import FrozenCLIP, ImageFeatures
from anomalib_cops.encoder.blocks import Block
from anomalib_cops.encoder.image import Paths, walk
from anomalib_cops.errors import InputError
from anomalib_cops.losses import dice_loss, focal_loss
from anomalib_cops.masked_rows import masked_rows
from anomalib_cops.models.anomaly_clip.settings import AnomalyCLIPSettings
from anomalib_cops.models.cached_text import CachedText
from anomalib_cops.models.checks import check_deep_depth
from anomalib_cops.models.patch_memory import FewShotModel
from anomalib_cops.prompts.deep import DeepPrompts
from anomalib_cops.prompts.template import PromptTemplate

LOCAL_BLOCKS = 19
WORDS = (" object.", " damaged object.")


class AnomalyCLIPModel(FewShotModel):
    """Object-agnostic prompt learning on a frozen CLIP (arXiv 2310.18961).

    Args:
        clip: the frozen encoder.
        settings: sizes and switches.

    Raises:
        InputError: the encoder does not fit the settings.
    """

    frozen_features = ImageFeatures
    loss_terms = ("image", "focal", "dice_anomalous", "dice_normal")
    pixel_terms = ("focal", "dice_anomalous", "dice_normal")

    def __init__(self, clip: FrozenCLIP, settings: AnomalyCLIPSettings | None = None) -> None:
        super().__init__()
        self.clip = clip
        self.settings = settings = settings or AnomalyCLIPSettings()
        self.layers = settings.layers or (clip.depth,)
        default_start = max(1, clip.depth - LOCAL_BLOCKS + 1)
        self.local_start = default_start if settings.local_start is None else settings.local_start
        check_anomaly_clip_fits_encoder(clip, settings, self.layers, self.local_start)
        width, tokens = clip.text_width, settings.context_tokens
        templates = [PromptTemplate(clip.text, tokens, words) for words in WORDS]
        self.templates = nn.ModuleList(templates)
        self.read_out = [template.read_out for template in templates]
        self.context = nn.Parameter(torch.empty(2, tokens, width).normal_(std=0.02))
        self.deep = DeepPrompts(
            settings.deep_depth, settings.deep_length, width, position=clip.text.start, half=settings.half_deep_prompts
        )
        self.text_features = CachedText(self.encode_prompts, self.text_prompts, clip.text_parameters)

    @torch.no_grad()
    def forward(
        self, images: Float[Tensor, "batch 3 height width"], features: ImageFeatures | None = None
    ) -> InferenceBatch:
        """Return the anomaly score and the anomaly map of every image, both in [0, 1].

        The official map is the sum over the layers; this one is their mean, which is equal for one layer and ranks
        pixels equally for several.

        Args:
            images: images at the encoder's size, normalised with CLIP's mean and standard deviation.
            features: features of the images, if they are known already.
        """
        features = features or self.encode(images)
        text = self.text_features()
        patches = self.patch_probabilities(features, text)
        score = self.image_logits(features, text).softmax(dim=-1)[:, 1]
        anomaly_map = gaussian_smooth(self.level_maps(patches)[:, :, 1].mean(dim=0), self.settings.sigma)
        return self.predict(score, anomaly_map, features.descriptors)

    @property
    def taps(self) -> tuple[Any, ...]:
        """Values besides image and encoder that the features depend on."""
        return self.layers, self.local_start, self.settings.local_feed_forward

    def encode(self, images: Float[Tensor, "batch 3 height width"]) -> ImageFeatures:
        """Return the ordinary path's global feature and the v-v path's patch features (the paper's DPAM)."""
        return self.clip.image.encode(
            images,
            layers=self.layers,
            local_start=self.local_start,
            describe=self.memory is not None,
            walk=walk_with_feed_forward if self.settings.local_feed_forward else walk,
        )

    def prompts(self) -> Float[Tensor, "states tokens width"]:
        """Return token embeddings: start | context words | "object." or "damaged object." | end of text | padding."""
        pairs = zip(self.templates, self.context, strict=True)
        return torch.stack([template(words, padded=True) for template, words in pairs])

    def text_prompts(self) -> list[Tensor]:
        """Return the trained tensors that the text features depend on."""
        return [self.context, *self.deep.tokens]

    def encode_prompts(self) -> Float[Tensor, "states dim"]:
        """Return the unit text feature of each state."""
        return F.normalize(self.clip.text.encode(self.prompts(), self.read_out, self.deep), dim=-1)

    def patch_probabilities(
        self, features: ImageFeatures, text: Float[Tensor, "states dim"]
    ) -> Float[Tensor, "layers batch patches states"]:
        """Return the probability of each state at every patch of every layer."""
        expanded = text.expand(features.cls.shape[0], -1, -1)
        return torch.stack([probabilities(cosine(layer, expanded)) for layer in features.patches])

    def level_maps(
        self, patches: Float[Tensor, "layers batch patches states"]
    ) -> Float[Tensor, "layers batch states height width"]:
        """Enlarge probabilities to image size."""
        return torch.stack(
            [enlarge_smoothly(to_grid(layer.mT), self.clip.image_size, align_corners=False) for layer in patches]
        )

    def image_logits(self, features: ImageFeatures, text: Float[Tensor, "states dim"]) -> Float[Tensor, "batch states"]:
        """Return the logit of each state for the whole image: cosine over temperature."""
        return cosine(features.cls, text) / TEMPERATURE

    def loss(
        self,
        images: Float[Tensor, "batch 3 height width"],
        masks: Float[Tensor, "batch height width"],
        labels: Float[Tensor, " batch"],
        features: ImageFeatures | None = None,
        masked: Bool[Tensor, " batch"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return all loss terms of a labelled batch; "loss" is their weighted sum (the paper's equation 4).

        Args:
            images: as in :meth:`forward`.
            masks: 1 where anomalous, 0 elsewhere, at image size.
            labels: 1 for anomalous images, 0 for normal ones.
            features: features of the images, if they are known already.
            masked: whether the mask of each image is known. Losses of pixels use these images only, and are left out if
                there are none; all are known by default.
        """
        features, text = features or self.encode(images), self.encode_prompts()
        image, rows = F.cross_entropy(self.image_logits(features, text), labels.long()), masked_rows(masked)
        if rows is None:
            return {"image": image, "loss": image}
        levels = self.level_maps(rows.of(self.patch_probabilities(features, text), dim=1))
        masks = rows.of(masks)
        terms = {
            "focal": torch.stack([focal_loss(maps, masks) for maps in levels]).sum(),
            "dice_anomalous": torch.stack([dice_loss(maps[:, 1], masks) for maps in levels]).sum(),
            "dice_normal": torch.stack([dice_loss(maps[:, 0], 1 - masks) for maps in levels]).sum(),
        }
        terms = {name: rows.weigh(value) for name, value in terms.items()}
        local = terms["focal"] + terms["dice_anomalous"] + terms["dice_normal"]
        return {"image": image, **terms, "loss": image + self.settings.local_weight * local}


def walk_with_feed_forward(
    blocks: Iterable[Block], x: Float[Tensor, "batch tokens width"], local_blocks: range, cls_block: int | None
) -> Iterator[Paths]:
    """Run the blocks with another local path, which restarts from the ordinary path in every block.

    From the second local block on it also has a feed-forward.
    """
    ordinary, local = x, None
    for index, block in enumerate(blocks):
        query, key, value = block.qkv(ordinary)
        if index in local_blocks:
            local = ordinary + block.attend(value, value, value)
            if index > local_blocks.start:
                local = block.feed_forward(local)
        if index == cls_block:
            ordinary, query = ordinary[:, :1], query[:, :, :1]
        ordinary = block.feed_forward(ordinary + block.attend(query, key, value))
        yield ordinary, local


def check_anomaly_clip_fits_encoder(
    clip: FrozenCLIP, settings: AnomalyCLIPSettings, layers: tuple[int, ...], local_start: int
) -> None:
    """Refuse an encoder that does not fit the settings.

    Raises:
        InputError: the encoder does not fit; the message names the setting.
    """
    check_deep_depth("AnomalyCLIP", clip, settings.deep_depth)
    if not (layers[0] >= 1 and layers[-1] <= clip.depth and local_start <= clip.depth):
        raise InputError(
            f"AnomalyCLIP: layers={list(layers)} with local_start={local_start} do not fit the {clip.depth} vision "
            f"blocks of '{clip.name}'."
        )
