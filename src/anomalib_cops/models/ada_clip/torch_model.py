"""AdaCLIP in plain torch; ``forward`` follows the paper's framework figure from left to right."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from anomalib.data import InferenceBatch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from anomalib_cops.alignment import enlarge_smoothly, gaussian_smooth, to_grid, unit
from anomalib_cops.encoder import FrozenCLIP, ImageFeatures, ImageTokens
from anomalib_cops.errors import InputError
from anomalib_cops.losses import dice_loss, focal_loss
from anomalib_cops.masked_rows import masked_rows
from anomalib_cops.models.ada_clip import fusion
from anomalib_cops.models.ada_clip.prompters import PromptGenerator, Prompts
from anomalib_cops.models.ada_clip.settings import (
    AdaCLIPSettings,
    check_ada_clip_fits_encoder,
    check_traceable,
    four_layers,
)
from anomalib_cops.models.ada_clip.text import ClassNameText
from anomalib_cops.models.patch_memory import FewShotModel
from anomalib_cops.precision import in_full_precision
from anomalib_cops.tracing import tracing

TEMPERATURE = 0.01
UNKNOWN_CLASS = "object"


class AdaCLIPModel(FewShotModel):
    """CLIP with hybrid learnable prompts in both towers (arXiv 2407.15795).

    Args:
        clip: the frozen encoder.
        settings: sizes and switches.

    Raises:
        InputError: the encoder does not fit the settings.
    """

    # Prompts enter the image tower, so its features change in every training step.
    frozen_features = None
    loss_terms = ("image", "focal", "dice_anomalous", "dice_normal")
    pixel_terms = ("focal", "dice_anomalous", "dice_normal")

    def __init__(self, clip: FrozenCLIP, settings: AdaCLIPSettings | None = None) -> None:
        super().__init__()
        settings = settings or AdaCLIPSettings()
        self.clip = clip
        self.settings = settings
        self.layers = settings.layers or four_layers(clip.depth)
        check_ada_clip_fits_encoder(clip, settings, self.layers)
        dim, width, length = clip.dim, clip.image_width, settings.length
        kind = {"static": "S" in settings.prompts, "half": settings.half_prompts}
        self.vision_prompts = Prompts(range(settings.depth), length, width, **kind) if "V" in settings.branch else None
        self.text_prompts = (
            Prompts(range(1, settings.depth), length, clip.text_width, **kind) if "L" in settings.branch else None
        )
        # Create both whatever the branch is, as official checkpoints contain both.
        dynamic = "D" in settings.prompts
        self.vision_generator = PromptGenerator(dim, width, length) if dynamic else None
        self.text_generator = PromptGenerator(dim, clip.text_width, length) if dynamic else None
        self.patch_heads = nn.ModuleList(nn.Linear(width, dim) for _ in self.layers)
        self.cls_head = nn.Linear(dim, dim)
        self.text = ClassNameText(clip, self.text_prompts)
        # Tokenise now, since this is impossible while a graph is traced.
        self.text.tokens(settings.class_name or UNKNOWN_CLASS)

    @property
    def taps(self) -> tuple[int, ...]:
        """The tapped layers, which the features depend on besides image and encoder."""
        return self.layers

    @torch.no_grad()
    def forward(
        self, images: Float[Tensor, "batch 3 height width"], class_names: Sequence[str] | None = None
    ) -> InferenceBatch:
        """Return the anomaly score and the anomaly map of every image, both in [0, 1].

        Args:
            images: images at the encoder's size, normalised with CLIP's mean and standard deviation.
            class_names: name of what each image shows, or one name for all; the settings' ``class_name``, or "object",
                if not given.
        """
        features, text = self.encode(images, class_names)
        logits = self.patch_logits(features.patches, text)
        image = self.image_probabilities(self.image_feature(features, logits), text)
        # The weights of the smoothing sum to one only up to rounding, so clamp.
        smooth = gaussian_smooth(self.anomaly_map(logits), self.settings.sigma).clamp(0, 1)
        return self.predict(image[:, 1], smooth, features.descriptors)

    def encode(
        self, images: Float[Tensor, "batch 3 height width"], class_names: Sequence[str] | None = None
    ) -> tuple[ImageFeatures, Float[Tensor, "batch states dim"]]:
        """Return the unit features of image and patches, and of both states; arguments as in :meth:`forward`.

        Raises:
            InputError: there is neither one class name nor one per image.
        """
        names = [self.settings.class_name or UNKNOWN_CLASS] if class_names is None else list(class_names)
        if len(names) not in (1, images.shape[0]):
            raise InputError(f"AdaCLIP: {len(names)} class names for {images.shape[0]} images; give one per image.")
        plain = self.plain_tokens(images) if self.memory is not None else None
        vision, text = self.dynamic_prompts(images, plain)
        features = self.project(self.image_tokens(images, vision))
        if plain is not None:
            features = replace(features, descriptors=plain.descriptors)
        return features, self.text.features(names, text).expand(images.shape[0], -1, -1)

    def dynamic_prompts(
        self, images: Float[Tensor, "batch 3 height width"], plain: ImageTokens | None = None
    ) -> tuple[Float[Tensor, "batch length width_"] | None, Float[Tensor, "batch length words"] | None]:
        """Make prompts from the images for the image and the text tower; None for a tower that gets none.

        Args:
            images: as in :meth:`forward`.
            plain: their tokens without prompts, if they are known already.
        """
        if self.vision_generator is None or self.text_generator is None or not self.settings.branch:
            return None, None
        cls = self.unprompted(images) if plain is None else self.clip.image.project_cls(plain.cls)
        vision = self.vision_generator(cls) if self.vision_prompts is not None else None
        return vision, self.text_generator(cls) if self.text_prompts is not None else None

    def unprompted(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Return CLIP's own image feature, not normalised."""
        return self.clip.image.project_cls(self.plain_tokens(images).cls)

    @torch.no_grad()
    def plain_tokens(self, images: Float[Tensor, "batch 3 height width"]) -> ImageTokens:
        """Return the class token of the tower without prompts, and descriptors of the patches if there is a memory."""
        # Some layer must be tapped; take the first, as tapping the last would compute its patches just for this.
        return self.clip.image.tokens(images, layers=self.layers[:1], describe=self.memory is not None)

    def image_tokens(
        self, images: Float[Tensor, "batch 3 height width"], dynamic: Float[Tensor, "batch length width_"] | None
    ) -> ImageTokens:
        """Return the class token and the tapped patch tokens of the image tower, with its prompts if it gets any."""
        if self.vision_prompts is None:
            with torch.no_grad():
                return self.clip.image.tokens(images, layers=self.layers)
        return self.clip.image.tokens(images, layers=self.layers, walk=self.vision_prompts.walk(dynamic))

    def project(self, tokens: ImageTokens) -> ImageFeatures:
        """Project tokens to unit vectors in the joint space, the class token through CLIP's own projection first."""
        patches = [head(layer) for head, layer in zip(self.patch_heads, tokens.patches, strict=True)]
        cls = self.cls_head(self.clip.image.project_cls(tokens.cls))
        return ImageFeatures(cls=unit(cls), patches=unit(torch.stack(patches)))

    @in_full_precision
    def patch_logits(
        self, patches: Float[Tensor, "layers batch patches dim"], text: Float[Tensor, "batch states dim"]
    ) -> Float[Tensor, "layers batch patches states"]:
        """Return the scaled similarity of every patch of every layer to both states, before the softmax."""
        return patches @ text.mT / TEMPERATURE

    def patch_probability(self, logits: Float[Tensor, "layers batch patches states"]) -> Float[Tensor, "batch patches"]:
        """Return each patch's anomaly probability, from the mean of the layers' logits."""
        return logits.mean(dim=0).softmax(dim=-1)[..., 1]

    def image_feature(
        self, features: ImageFeatures, logits: Float[Tensor, "layers batch patches states"]
    ) -> Float[Tensor, "batch dim"]:
        """Return the unit feature of the image: the class feature, with fusion mixed with the most anomalous patches.

        Raises:
            InputError: fusion is on while a graph is traced.
        """
        if not self.settings.fusion:
            return features.cls
        if tracing():
            check_traceable(self.settings)
        chosen = fusion.choose(
            features.patches, fusion.strongest(self.patch_probability(logits), self.settings.clusters)
        )
        seed = self.settings.seed if self.settings.clustering == "fixed" else None
        labels = fusion.cluster(chosen, self.settings.clusters, seed)
        return fusion.fuse(fusion.gather_clusters(chosen, labels), features.cls)

    @in_full_precision
    def image_probabilities(
        self, image: Float[Tensor, "batch dim"], text: Float[Tensor, "batch states dim"]
    ) -> Float[Tensor, "batch states"]:
        """Return the probability of each state for the whole image."""
        return ((image.unsqueeze(1) @ text.mT).squeeze(1) / TEMPERATURE).softmax(dim=-1)

    def anomaly_map(self, logits: Float[Tensor, "layers batch patches states"]) -> Float[Tensor, "batch height width"]:
        """Return the anomaly probability at image size, from the mean of the layers' logits, before smoothing.

        Enlarging is linear, so the mean is taken first and only one map is enlarged.
        """
        return self.layer_maps(logits.mean(dim=0, keepdim=True))[0, :, 1]

    def layer_maps(
        self, logits: Float[Tensor, "layers batch patches states"]
    ) -> Float[Tensor, "layers batch states height width"]:
        """Enlarge the logits of each layer to image size and return the probabilities of both states."""
        grids = to_grid(logits.mT)
        large = enlarge_smoothly(grids.flatten(0, 1), self.clip.image_size, align_corners=True)
        return large.softmax(dim=1).unflatten(0, grids.shape[:2])

    def loss(
        self,
        images: Float[Tensor, "batch 3 height width"],
        masks: Float[Tensor, "batch height width"],
        labels: Float[Tensor, " batch"],
        class_names: Sequence[str] | None = None,
        masked: Bool[Tensor, " batch"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return all loss terms of a labelled batch; "loss" is their sum.

        Args:
            images: as in :meth:`forward`.
            masks: 1 where anomalous, 0 elsewhere, at image size.
            labels: 1 for anomalous images, 0 for normal ones.
            class_names: as in :meth:`forward`.
            masked: whether the mask of each image is known. Losses of pixels use these images only, and are left out if
                there are none; all are known by default.
        """
        features, text = self.encode(images, class_names)
        logits = self.patch_logits(features.patches, text)
        image = self.image_probabilities(self.image_feature(features, logits), text)
        terms = {"image": focal_loss(image, labels)}
        rows = masked_rows(masked)
        if rows is not None:
            layers = self.map_losses(self.layer_maps(rows.of(logits, dim=1)), rows.of(masks))
            terms |= {name: rows.weigh(each.sum()) for name, each in layers.items()}
        return {**terms, "loss": torch.stack(list(terms.values())).sum()}

    def map_losses(
        self,
        maps: Float[Tensor, "layers batch states height width"],
        masks: Float[Tensor, "batch height width"],
    ) -> dict[str, Float[Tensor, " layers"]]:
        """Return the focal loss and both states' Dice losses of each layer's map."""
        rows = 1 if self.settings.dice_over == "row" else 0
        normal, anomalous = ([layer[:, state].flatten(0, rows) for layer in maps] for state in (0, 1))
        target = masks.flatten(0, rows)
        return {
            "focal": torch.stack([focal_loss(layer, masks) for layer in maps]),
            "dice_anomalous": torch.stack([dice_loss(each, target) for each in anomalous]),
            "dice_normal": torch.stack([dice_loss(each, 1 - target) for each in normal]),
        }
