"""VCP-CLIP in plain torch; ``forward`` follows the paper's overview figure from left to right."""

from typing import Any

import torch
from anomalib.data import InferenceBatch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomalib_cops.alignment import enlarge_smoothly, gaussian_smooth, stretch, to_grid
from anomalib_cops.encoder import FrozenCLIP, ImageTokens, quarters
from anomalib_cops.errors import InputError
from anomalib_cops.losses import dice_loss, focal_loss
from anomalib_cops.masked_rows import masked_rows
from anomalib_cops.models.checks import check_layers, learns_from_pixels_alone
from anomalib_cops.models.tapped_tokens import TappedTokensModel
from anomalib_cops.models.vcp_clip.post_vcp import PostVCP
from anomalib_cops.models.vcp_clip.pre_vcp import PreVCP
from anomalib_cops.models.vcp_clip.prompts import DeepPrompts, StateSentences, check_length
from anomalib_cops.models.vcp_clip.settings import VCPCLIPSettings
from anomalib_cops.prompts.words import words_of_features


class VCPCLIPModel(TappedTokensModel):
    """Visual context prompting on a frozen CLIP (arXiv 2407.12276).

    Args:
        clip: the frozen encoder.
        settings: sizes and switches.

    Raises:
        InputError: the encoder does not fit the settings.
    """

    loss_terms = ("pre_focal", "pre_dice", "post_focal", "post_dice")
    pixel_terms = loss_terms

    def __init__(self, clip: FrozenCLIP, settings: VCPCLIPSettings | None = None) -> None:
        super().__init__()
        settings = settings or VCPCLIPSettings()
        check_vcp_clip_fits_encoder(clip, settings)
        self.clip = clip
        self.settings = settings
        self.layers = settings.layers or quarters(clip.depth)
        self.sentences = StateSentences(clip, settings.context_tokens)
        check_length(clip, self.sentences, settings.deep_length)
        width, dim, words = clip.image_width, clip.dim, clip.text_width
        self.to_words = words_of_features(dim, words) if settings.use_global else nn.Identity()
        self.pre = PreVCP(width, dim, words, len(self.layers), settings.context_tokens, use_global=settings.use_global)
        self.post = PostVCP(width, dim, settings.heads)
        self.deep = (
            DeepPrompts(clip.text_depth, settings.deep_length, words, settings.dropout, clip.text.start)
            if settings.deep_length
            else None
        )

    @torch.no_grad()
    def forward(
        self, images: Float[Tensor, "batch 3 height width"], features: ImageTokens | None = None
    ) -> InferenceBatch:
        """Return the anomaly score and the anomaly map of every image, both in [0, 1].

        Args:
            images: images at the encoder's size, normalised with CLIP's mean and standard deviation.
            features: tokens of the images, if they are known already.
        """
        tokens = features or self.encode(images)
        text = self.text_features(self.read_prompts(self.prompts(self.context(tokens))))
        pre = self.maps(self.pre(tokens.patches, text))[:, :, 1].mean(dim=0)
        post = self.maps(self.post(tokens.patches, text))[:, :, 1].mean(dim=0)
        anomaly_map = gaussian_smooth(self.fuse(pre, post), self.settings.sigma)
        score = self.image_score(pre, post)
        if self.settings.min_max_over == "batch":
            anomaly_map, score = (stretch(x, x.amin(), x.amax()) for x in (anomaly_map, score))
        return self.predict(score, anomaly_map, tokens.descriptors)

    def context(self, tokens: ImageTokens) -> Float[Tensor, "batch slots words"]:
        """Make visual context tokens from the global feature, which is not normalised."""
        return self.pre.context(self.to_words(self.clip.image.project_cls(tokens.cls)))

    def prompts(self, context: Float[Tensor, "batch slots words"]) -> Float[Tensor, "batch states tokens words"]:
        """Return token embeddings: start | "a photo of a good" or "… damaged" | context tokens | end of text."""
        return self.sentences(context)

    def read_prompts(self, prompts: Float[Tensor, "batch states tokens words"]) -> Float[Tensor, "batch states words"]:
        """Run the text tower on all images and both states at once; return the read-out tokens of its last block."""
        normal, anomalous = self.sentences.read_outs
        read_out = normal if normal == anomalous else torch.tensor([normal, anomalous]).repeat(prompts.shape[0])
        ends = self.clip.text.read(prompts.flatten(0, 1), read_out, self.deep)
        return ends.unflatten(0, prompts.shape[:2])

    def text_features(self, ends: Float[Tensor, "batch states words"]) -> Float[Tensor, "batch states dim"]:
        """Return each image's and state's unit text feature, after the learned norm, CLIP's norm and projection."""
        if self.deep is not None:
            ends = self.deep.norm(ends)
        return F.normalize(self.clip.text.project(ends), dim=-1)

    def maps(
        self, logits: Float[Tensor, "layers batch patches states"]
    ) -> Float[Tensor, "layers batch states height width"]:
        """Return the probability of each state at every pixel: enlarge the logits, then apply softmax, in float32."""
        grids = to_grid(logits.float().mT)
        enlarged = enlarge_smoothly(grids.flatten(0, 1), self.clip.image_size, align_corners=True)
        return enlarged.softmax(dim=1).unflatten(0, grids.shape[:2])

    def fuse(
        self, pre: Float[Tensor, "batch height width"], post: Float[Tensor, "batch height width"]
    ) -> Float[Tensor, "batch height width"]:
        """Return the weighted mean of the Pre and the Post map, before smoothing."""
        return self.settings.alpha * pre + (1 - self.settings.alpha) * post

    def image_score(
        self, pre: Float[Tensor, "batch height width"], post: Float[Tensor, "batch height width"]
    ) -> Float[Tensor, " batch"]:
        """Return the mean of both maps' largest pixels; the official score is their sum, twice as large."""
        return (self.top_mean(pre) + self.top_mean(post)) / 2

    def top_mean(self, maps: Float[Tensor, "batch height width"]) -> Float[Tensor, " batch"]:
        """Return the mean of each map's largest pixels."""
        pixels = maps.flatten(1)
        return pixels.topk(min(self.settings.top_pixels, pixels.shape[1]), dim=1).values.mean(dim=1)

    def loss(
        self,
        images: Float[Tensor, "batch 3 height width"],
        masks: Float[Tensor, "batch height width"],
        labels: Float[Tensor, " batch"],
        features: ImageTokens | None = None,
        masked: Bool[Tensor, " batch"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return all loss terms of a batch with masks, each summed over the layers; "loss" is their sum.

        Args:
            images: as in :meth:`forward`.
            masks: 1 where anomalous, 0 elsewhere, at image size.
            labels: not used; the method learns from pixels alone.
            features: tokens of the images, if they are known already.
            masked: whether the mask of each image is known, so that the image is used; all are known by default.

        Raises:
            InputError: no mask is known.
        """
        rows = masked_rows(masked)
        if rows is None:
            raise InputError(learns_from_pixels_alone("VCPCLIP"))
        tokens, masks = features or self.encode(images), rows.of(masks)
        text = self.text_features(self.read_prompts(self.prompts(self.context(tokens))))
        terms: dict[str, Tensor] = {}
        for name, scored in (("pre", self.pre), ("post", self.post)):
            maps = self.maps(rows.of(scored(tokens.patches, text), dim=1))
            terms[f"{name}_focal"] = rows.weigh(torch.stack([focal_loss(layer, masks) for layer in maps]).sum())
            terms[f"{name}_dice"] = rows.weigh(torch.stack([dice_loss(layer[:, 1], masks) for layer in maps]).sum())
        terms["loss"] = torch.stack(list(terms.values())).sum()
        return terms

    def parameter_groups(self, rate: float, temperature_rate: float) -> list[dict[str, Any]]:
        """Return the trained parameters in two groups for the optimiser, with a separate rate for both temperatures.

        Args:
            rate: learning rate of all other parameters.
            temperature_rate: learning rate of the logarithms of both scales.
        """
        temperatures = [self.pre.log_scale, self.post.log_scale]
        others = [p for p in self.parameters() if p.requires_grad and not any(p is t for t in temperatures)]
        return [{"params": others, "lr": rate}, {"params": temperatures, "lr": temperature_rate}]


def check_vcp_clip_fits_encoder(clip: FrozenCLIP, settings: VCPCLIPSettings) -> None:
    """Refuse an encoder that does not fit the settings.

    Raises:
        InputError: the encoder does not fit; the message names the setting.
    """
    if clip.image_width % settings.heads:
        raise InputError(
            f"VCPCLIP: heads={settings.heads} must divide the {clip.image_width} channels of the image tower of "
            f"'{clip.name}'."
        )
    check_layers("VCPCLIP", clip, settings.layers)
