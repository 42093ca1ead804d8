"""CoPS in plain torch; ``forward`` follows the paper's Figure 2 from left to right."""

from typing import Any

import torch
from anomalib.data import InferenceBatch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomalib_cops.alignment import cosine, enlarge, gaussian_smooth, probabilities, to_grid
from anomalib_cops.distributed import draw_rows
from anomalib_cops.encoder import FrozenCLIP, ImageFeatures, PrefixCache
from anomalib_cops.losses import kl_to_standard_normal
from anomalib_cops.masked_rows import masked_rows
from anomalib_cops.models.cached_text import CachedText
from anomalib_cops.models.cops.category_vae import CategoryVAE, reconstruction_loss, reparametrize
from anomalib_cops.models.cops.noise import fixed_noise, noise_of_batch
from anomalib_cops.models.cops.objective import EXTRA_PATCH_WEIGHT, image_loss, patch_loss
from anomalib_cops.models.cops.prototypes import (
    PrototypeExtractor,
    center_losses,
    nearest_distance,
    neighbourhood_mean,
)
from anomalib_cops.models.cops.settings import CoPSSettings, check_cops_fits_encoder
from anomalib_cops.models.cops.spatial import glocal_score, layer_weights
from anomalib_cops.models.patch_memory import FewShotModel
from anomalib_cops.prompts.deep import DeepPrompts
from anomalib_cops.prompts.template import PromptTemplate
from anomalib_cops.prompts.words import words_of_features


class CoPSModel(FewShotModel):
    """Conditional prompt synthesis on a frozen CLIP (arXiv 2508.03447).

    Args:
        clip: the frozen encoder.
        settings: sizes and switches.

    Raises:
        InputError: the encoder does not fit the settings.
    """

    frozen_features = ImageFeatures
    pixel_terms = ("gather", "scatter", "patch")

    def __init__(self, clip: FrozenCLIP, settings: CoPSSettings | None = None) -> None:
        super().__init__()
        settings = settings or CoPSSettings()
        check_cops_fits_encoder(clip, settings)
        dim, width = clip.dim, clip.text_width
        self.clip = clip
        self.settings = settings
        self.layers = settings.layers or (clip.depth,)
        tokens = settings.context_tokens + settings.n_prototypes + settings.category_tokens
        self.template = PromptTemplate(clip.text, tokens)
        self.context = nn.Parameter(torch.empty(2, tokens, width).normal_(std=0.02))
        self.deep = DeepPrompts(
            settings.deep_depth, settings.deep_length, width, position=clip.text.start, half=settings.half_deep_prompts
        )
        self.prototypes = PrototypeExtractor(dim, settings.n_prototypes) if settings.needs_prototypes else None
        self.vae = CategoryVAE(dim) if settings.categories == "sampled" else None
        self.to_words = words_of_features(dim, width) if settings.adds_features else nn.Identity()
        self.register_buffer("noise", fixed_noise(settings.n_samples, dim, settings.seed), persistent=False)
        self.noise: Tensor
        if clip.text.causal:
            self.context_prefix = CachedText(self.encode_context, self.text_prompts, clip.text_parameters)

    @torch.no_grad()
    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        noise: Float[Tensor, "batch samples dim"] | None = None,
        features: ImageFeatures | None = None,
    ) -> InferenceBatch:
        """Return the anomaly score and the anomaly map of every image, both in [0, 1].

        Args:
            images: images at the encoder's size, normalised with CLIP's mean and standard deviation.
            noise: standard normal numbers from which category tokens are decoded; drawn as the settings say if not
                given.
            features: features of the images, if they are known already.
        """
        features = features or self.encode(images)
        local = self.local_features(features)
        prototypes = self.prototypes(local.mean(dim=0)) if self.prototypes is not None else None
        categories = self.category_tokens(features, noise)
        text = self.text_features(self.encode_prompts(self.prompts(images.shape[0], prototypes, categories)))
        patches = self.patch_probabilities(local, text) * self.spatial_weights(local, prototypes).unsqueeze(-1)
        image = self.image_probability(features, text)
        score = glocal_score(image, patches[-1, ..., 1], self.settings.beta)
        anomaly_map = gaussian_smooth(self.raw_map(patches), self.settings.sigma)
        if self.settings.references_are_prototypes:
            return InferenceBatch(pred_score=score, anomaly_map=anomaly_map)
        return self.predict(score, anomaly_map, features.descriptors)

    @property
    def taps(self) -> tuple[Any, ...]:
        """Values besides image and encoder that the features depend on."""
        return self.layers, self.settings.local_start

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Names of the terms that :meth:`loss` adds up."""
        prototypes = ("gather", "scatter") if self.prototypes is not None else ()
        samples = ("kl", "recon") if self.settings.reconstruction else ("kl",)
        return (*prototypes, *(samples if self.vae is not None else ()), "image", "patch")

    def encode(self, images: Float[Tensor, "batch 3 height width"]) -> ImageFeatures:
        """Return the global feature of the ordinary path and the local features of the consistency (v-v) path."""
        return self.clip.image.encode(
            images,
            layers=self.layers,
            local_start=self.settings.local_start,
            describe=self.memory is not None and not self.settings.references_are_prototypes,
        )

    def describe(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch patches dim"]:
        """Return the unit vectors by which patches are compared with references: SAGA's, if those are prototypes."""
        if not self.settings.references_are_prototypes:
            return super().describe(images)
        return F.normalize(self.local_features(self.encode(images)).mean(dim=0), dim=-1)

    def local_features(self, features: ImageFeatures) -> Float[Tensor, "layers batch patches dim"]:
        """Average patch features over their neighbourhood."""
        return neighbourhood_mean(features.patches, self.settings.neighbourhood)

    def category_tokens(
        self, features: ImageFeatures, noise: Float[Tensor, "batch samples dim"] | None = None
    ) -> Float[Tensor, "batch samples dim"] | None:
        """Sample category tokens at test from the prior or from each image's posterior; None without ICTS."""
        if self.vae is None:
            return None
        if noise is None:
            noise = noise_of_batch(self.noise, features.cls.shape[0], self.settings.noise)
        if self.settings.test_categories == "posterior":
            noise = reparametrize(*self.vae.posterior(features.cls), noise)
        return self.vae.decode(noise)

    def prompts(
        self,
        batch: int,
        prototypes: Float[Tensor, "batch states prototypes dim"] | None,
        categories: Float[Tensor, "batch samples dim"] | None,
    ) -> Float[Tensor, "batch states samples tokens words"]:
        """Return token embeddings: start | context words | state words | category words | "." | end of text.

        Prototypes and category tokens are added to learnable words. By default the states are crossed as published: the
        normal prompt contains the anomalous prototypes.
        """
        chosen = self.settings
        sizes = [chosen.context_tokens, chosen.n_prototypes, chosen.category_tokens]
        context, state, category = (words[None, :, None] for words in self.context.split(sizes, dim=1))
        if prototypes is not None and chosen.states == "dynamic":
            crossed = prototypes.flip(1) if chosen.cross_prototypes else prototypes
            state = state + self.to_words(crossed).unsqueeze(2)
        if categories is not None:
            category = category + self.to_words(categories)[:, None, :, None]
        samples = 1 if categories is None else categories.shape[1]
        slots = torch.cat([part.expand(batch, 2, samples, -1, -1) for part in (context, state, category)], dim=3)
        return self.template(slots)

    def encode_prompts(
        self, prompts: Float[Tensor, "batch states samples tokens words"]
    ) -> Float[Tensor, "batch states samples dim"]:
        """Encode the prompts of :meth:`prompts`; return one unit text feature per prompt.

        The samples of an image differ only from the category words on, so a causal tower computes the tokens before
        them once per image and state. In inference, the start and the context words are the same for all images, so it
        computes them once per set of weights. Other towers run every prompt as a whole.
        """
        if not self.clip.text.causal:
            features = self.clip.text.encode(prompts.flatten(0, 2), self.template.read_out, self.deep)
            return F.normalize(features, dim=-1).unflatten(0, prompts.shape[:3])
        batch, _, samples = prompts.shape[:3]
        constant = self.clip.text.start + self.settings.context_tokens
        shared = constant + self.settings.n_prototypes
        first = prompts[:, :, 0, :shared].flatten(0, 1)
        if torch.is_grad_enabled():
            # Compute the prefix per image, so that each image's gradient is rounded on its own (see DeepPrompts).
            prefix = self.clip.text.cache_prefix(first, self.deep)
        else:
            # Repeat along an existing axis, as OpenVINO computes an expanded seventh axis incorrectly.
            context = self.context_prefix().repeat(1, 1, batch, 1, 1, 1)
            prefix = self.clip.text.cache_prefix(first[:, constant:], prefix=context)
        rest = prompts[..., shared:, :].flatten(0, 2)
        features = self.clip.text.encode(rest, self.template.read_out - shared, prefix=prefix)
        return F.normalize(features, dim=-1).unflatten(0, prompts.shape[:3])

    def text_prompts(self) -> list[Tensor]:
        """Return the trained tensors that :meth:`encode_context` depends on."""
        return [self.context, *self.deep.tokens]

    def encode_context(self) -> PrefixCache:
        """Compute the keys and values of the start and the context words of both states."""
        words = self.context[:, : self.settings.context_tokens]
        start = self.template.prefix.expand(2, -1, -1)
        return self.clip.text.cache_prefix(torch.cat([start, words], dim=1), self.deep)

    def text_features(self, sampled: Float[Tensor, "batch states samples dim"]) -> Float[Tensor, "batch states dim"]:
        """Return the unit text feature of each state, the normalised mean over its samples."""
        return F.normalize(sampled.mean(dim=2), dim=-1)

    def patch_probabilities(
        self, local: Float[Tensor, "layers batch patches dim"], text: Float[Tensor, "batch states dim"]
    ) -> Float[Tensor, "layers batch patches states"]:
        """Return the probability of each state at every patch of every layer, before the spatial weight."""
        return torch.stack([probabilities(cosine(layer, text)) for layer in local])

    def spatial_weights(
        self,
        local: Float[Tensor, "layers batch patches dim"],
        prototypes: Float[Tensor, "batch states prototypes dim"] | None,
    ) -> Float[Tensor, "layers batch patches"]:
        """Return the spatial weight of every patch in every layer, in [0, 1]; ones without SAGA."""
        chosen = self.settings
        if prototypes is None or not chosen.spatial:
            return local.new_ones(local.shape[:3])
        distances = self.distances(local, prototypes)
        return layer_weights(*distances, len(local), chosen.alpha, over=chosen.min_max_over, flip=chosen.reflip_levels)

    def distances(
        self,
        local: Float[Tensor, "layers batch patches dim"],
        prototypes: Float[Tensor, "batch states prototypes dim"],
    ) -> tuple[Float[Tensor, "batch patches"], Float[Tensor, "batch patches"]]:
        """Return the distance of every patch to its nearest normal and its nearest anomalous prototype.

        Patches of references may be further normal prototypes.
        """
        mean = local.mean(dim=0)
        normal, anomalous = nearest_distance(mean, prototypes[:, 0]), nearest_distance(mean, prototypes[:, 1])
        if self.memory is not None and self.settings.references_are_prototypes:
            normal = torch.minimum(normal, self.memory.distances(F.normalize(mean, dim=-1)))
        return normal, anomalous

    def image_probability(
        self, features: ImageFeatures, text: Float[Tensor, "batch states dim"]
    ) -> Float[Tensor, " batch"]:
        """Return the probability that the whole image is anomalous, from its global feature."""
        return probabilities(cosine(features.cls.unsqueeze(1), text))[:, 0, 1]

    def raw_map(self, patches: Float[Tensor, "layers batch patches states"]) -> Float[Tensor, "batch height width"]:
        """Return the anomaly probability at image size, averaged over the layers, before smoothing."""
        return enlarge(to_grid(patches[..., 1]), self.clip.image_size).mean(dim=0)

    def loss(
        self,
        images: Float[Tensor, "batch 3 height width"],
        masks: Float[Tensor, "batch height width"],
        labels: Float[Tensor, " batch"],
        noise: Float[Tensor, "batch dim"] | None = None,
        features: ImageFeatures | None = None,
        masked: Bool[Tensor, " batch"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return all loss terms of a labelled batch; "loss" is their weighted sum.

        Args:
            images: as in :meth:`forward`.
            masks: 1 where anomalous, 0 elsewhere, at image size.
            labels: 1 for anomalous images, 0 for normal ones.
            noise: standard normal numbers for each image's posterior sample; drawn if not given.
            features: features of the images, if they are known already.
            masked: whether the mask of each image is known. Losses of pixels use these images only, and are left out if
                there are none; all are known by default.
        """
        features = features or self.encode(images)
        local = self.local_features(features)
        rows = masked_rows(masked)
        terms: dict[str, Tensor] = {}
        prototypes, categories = None, None
        if self.prototypes is not None:
            prototypes = self.prototypes(local.mean(dim=0))
            if rows is not None:
                patch_masks = F.max_pool2d(masks.unsqueeze(1), self.clip.patch_size).flatten(1)
                distances = self.distances(local, prototypes)
                terms["gather"], terms["scatter"] = center_losses(*distances, patch_masks, masked)
                # Without masks nothing but the image loss can teach the prototypes.
                prototypes = prototypes.detach()
        if self.vae is not None:
            noise = draw_rows(features.cls) if noise is None else noise
            mean, log_variance = self.vae.posterior(features.cls)
            categories = self.vae.decode(reparametrize(mean, log_variance, noise.unsqueeze(1)))
            terms["kl"] = kl_to_standard_normal(mean, log_variance)
            if self.settings.reconstruction:
                terms["recon"] = reconstruction_loss(
                    features.cls, categories[:, 0], all_pairs=self.settings.all_pairs_reconstruction
                )
        text = self.text_features(self.encode_prompts(self.prompts(images.shape[0], prototypes, categories)))
        cosines, objective = cosine(features.cls.unsqueeze(1), text)[:, 0], self.settings.objective
        terms["image"] = image_loss(cosines, labels, objective)
        extra: Tensor | float = 0.0
        if rows is not None:
            patches = self.patch_probabilities(rows.of(local, dim=1), rows.of(text))
            terms["patch"] = rows.weigh(patch_loss(patches, rows.of(masks), objective))
            extra = EXTRA_PATCH_WEIGHT * terms["patch"]
        terms["loss"] = torch.as_tensor(sum(terms.values()) + extra)
        return terms
