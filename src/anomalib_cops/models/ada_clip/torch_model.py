"""AdaCLIP in plain torch: forward is the paper's framework figure, from left to right."""

from collections.abc import Sequence

import torch
from anomalib.data import InferenceBatch
from jaxtyping import Float
from torch import Tensor, nn

from anomalib_cops.alignment import enlarge_smoothly, gaussian_smooth, to_grid, unit
from anomalib_cops.encoder import FrozenCLIP, ImageFeatures, ImageTokens
from anomalib_cops.errors import InputError
from anomalib_cops.losses import dice_loss, focal_loss
from anomalib_cops.models.ada_clip import fusion
from anomalib_cops.models.ada_clip.prompters import PromptGenerator, Prompts
from anomalib_cops.models.ada_clip.settings import (
    AdaCLIPSettings,
    check_ada_clip_fits_encoder,
    check_traceable,
    four_layers,
)
from anomalib_cops.models.ada_clip.text import ClassNameText
from anomalib_cops.precision import in_full_precision
from anomalib_cops.tracing import tracing

TEMPERATURE = 0.01
UNKNOWN_CLASS = "object"


class AdaCLIPModel(nn.Module):
    """CLIP with hybrid learnable prompts in both towers (arXiv 2407.15795).

    Args:
        clip: the frozen encoder.
        settings: sizes and switches.

    Raises:
        InputError: the encoder cannot carry these settings.
    """

    # Prompts enter the image tower, and with them its features change in every step.
    frozen_features = None
    loss_terms = ("image", "focal", "dice_anomalous", "dice_normal")

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
        self.text_prompts = Prompts(range(1, settings.depth), length, dim, **kind) if "L" in settings.branch else None
        # Both, whatever the branch: so are official checkpoints.
        dynamic = "D" in settings.prompts
        self.vision_generator = PromptGenerator(dim, width, length) if dynamic else None
        self.text_generator = PromptGenerator(dim, dim, length) if dynamic else None
        self.patch_heads = nn.ModuleList(nn.Linear(width, dim) for _ in self.layers)
        self.cls_head = nn.Linear(dim, dim)
        self.text = ClassNameText(clip, self.text_prompts)
        # A graph that is being traced cannot tokenise.
        self.text.tokens(settings.class_name or UNKNOWN_CLASS)

    @property
    def taps(self) -> tuple[int, ...]:
        """The layers read."""
        return self.layers

    @torch.no_grad()
    def forward(
        self, images: Float[Tensor, "batch 3 height width"], class_names: Sequence[str] | None = None
    ) -> InferenceBatch:
        """Anomaly score and map of every image, both in [0, 1].

        Args:
            images: normalised with CLIP's mean and standard deviation, at the encoder's image size.
            class_names: what each image shows; the settings' class, or "object", if not given.
        """
        features, text = self.encode(images, class_names)
        logits = self.patch_logits(features.patches, text)
        image = self.image_probabilities(self.image_feature(features, logits), text)
        # Smoothing sums up weights that are one but for rounding.
        smooth = gaussian_smooth(self.anomaly_map(logits), self.settings.sigma).clamp(0, 1)
        return InferenceBatch(pred_score=image[:, 1], anomaly_map=smooth)

    def encode(
        self, images: Float[Tensor, "batch 3 height width"], class_names: Sequence[str] | None = None
    ) -> tuple[ImageFeatures, Float[Tensor, "batch states dim"]]:
        """Unit features of image and patches, and of both states; arguments as in :meth:`forward`.

        Raises:
            InputError: not one class name per image.
        """
        names = [self.settings.class_name or UNKNOWN_CLASS] if class_names is None else list(class_names)
        if len(names) not in (1, images.shape[0]):
            raise InputError(f"AdaCLIP: {len(names)} class names for {images.shape[0]} images; give one per image.")
        vision, text = self.dynamic_prompts(images)
        features = self.project(self.image_tokens(images, vision))
        return features, self.text.features(names, text).expand(images.shape[0], -1, -1)

    def dynamic_prompts(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch length width_"] | None, Float[Tensor, "batch length dim"] | None]:
        """Prompts made from the images, for the image and the text tower; None for a tower that takes none."""
        if self.vision_generator is None or self.text_generator is None or not self.settings.branch:
            return None, None
        cls = self.unprompted(images)
        vision = self.vision_generator(cls) if self.vision_prompts is not None else None
        return vision, self.text_generator(cls) if self.text_prompts is not None else None

    @torch.no_grad()
    def unprompted(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """CLIP's own image feature, not normalised."""
        # The patches of some layer are read in any case; those of the last one would have to be computed for it.
        return self.clip.image.project(self.clip.image.tokens(images, layers=self.layers[:1]).cls)

    def image_tokens(
        self, images: Float[Tensor, "batch 3 height width"], dynamic: Float[Tensor, "batch length width_"] | None
    ) -> ImageTokens:
        """Class token and tapped patch tokens of the image tower, with prompts in it if it takes any."""
        if self.vision_prompts is None:
            with torch.no_grad():
                return self.clip.image.tokens(images, layers=self.layers)
        return self.clip.image.tokens(images, layers=self.layers, walk=self.vision_prompts.walk(dynamic))

    def project(self, tokens: ImageTokens) -> ImageFeatures:
        """Unit vectors in the joint space: patches straight from their layer, the class token after CLIP's own way."""
        patches = [head(layer) for head, layer in zip(self.patch_heads, tokens.patches, strict=True)]
        cls = self.cls_head(self.clip.image.project(tokens.cls))
        return ImageFeatures(cls=unit(cls), patches=unit(torch.stack(patches)))

    @in_full_precision
    def patch_logits(
        self, patches: Float[Tensor, "layers batch patches dim"], text: Float[Tensor, "batch states dim"]
    ) -> Float[Tensor, "layers batch patches states"]:
        """Similarity of every patch of every layer with both states, before the softmax."""
        return patches @ text.mT / TEMPERATURE

    def patch_probability(self, logits: Float[Tensor, "layers batch patches states"]) -> Float[Tensor, "batch patches"]:
        """Probability of being anomalous, all layers together."""
        return logits.mean(dim=0).softmax(dim=-1)[..., 1]

    def image_feature(
        self, features: ImageFeatures, logits: Float[Tensor, "layers batch patches states"]
    ) -> Float[Tensor, "batch dim"]:
        """Unit feature of the whole image: the class feature, and with fusion that of the most anomalous patches.

        Raises:
            InputError: with fusion, where a graph is being traced.
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
        """Probability of each state for the whole image."""
        return ((image.unsqueeze(1) @ text.mT).squeeze(1) / TEMPERATURE).softmax(dim=-1)

    def anomaly_map(self, logits: Float[Tensor, "layers batch patches states"]) -> Float[Tensor, "batch height width"]:
        """Anomalous probability at image size, before smoothing: the mean of the layers' logits decides.

        The mean comes before the enlarging, which gives the same and is enlarged once.
        """
        return self.layer_maps(logits.mean(dim=0, keepdim=True))[0, :, 1]

    def layer_maps(
        self, logits: Float[Tensor, "layers batch patches states"]
    ) -> Float[Tensor, "layers batch states height width"]:
        """Probabilities of both states at image size, layer by layer; logits are enlarged, not probabilities."""
        grids = to_grid(logits.mT)
        large = enlarge_smoothly(grids.flatten(0, 1), self.clip.image_size, align_corners=True)
        return large.softmax(dim=1).unflatten(0, grids.shape[:2])

    def loss(
        self,
        images: Float[Tensor, "batch 3 height width"],
        masks: Float[Tensor, "batch height width"],
        labels: Float[Tensor, " batch"],
        class_names: Sequence[str] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """All loss terms of a labelled batch; "loss" is their sum.

        Args:
            images: as in :meth:`forward`.
            masks: 1 where anomalous, 0 elsewhere, at image size.
            labels: 1 for anomalous images.
            class_names: as in :meth:`forward`.
        """
        features, text = self.encode(images, class_names)
        logits = self.patch_logits(features.patches, text)
        image = self.image_probabilities(self.image_feature(features, logits), text)
        layers = self.map_losses(self.layer_maps(logits), masks)
        terms = {"image": focal_loss(image, labels), **{name: each.sum() for name, each in layers.items()}}
        return {**terms, "loss": torch.stack(list(terms.values())).sum()}

    def map_losses(
        self,
        maps: Float[Tensor, "layers batch states height width"],
        masks: Float[Tensor, "batch height width"],
    ) -> dict[str, Float[Tensor, " layers"]]:
        """Focal loss and the Dice losses of both states, of each layer's map."""
        rows = 1 if self.settings.dice_over == "row" else 0
        normal, anomalous = ([layer[:, state].flatten(0, rows) for layer in maps] for state in (0, 1))
        target = masks.flatten(0, rows)
        return {
            "focal": torch.stack([focal_loss(layer, masks) for layer in maps]),
            "dice_anomalous": torch.stack([dice_loss(each, target) for each in anomalous]),
            "dice_normal": torch.stack([dice_loss(each, 1 - target) for each in normal]),
        }
