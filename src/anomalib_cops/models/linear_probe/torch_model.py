"""The linear probe in plain torch: one linear classifier per tapped layer, and one for the whole image."""

import torch
from anomalib.data import InferenceBatch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from anomalib_cops.alignment import enlarge_smoothly, gaussian_smooth, to_grid
from anomalib_cops.encoder import FrozenCLIP, ImageTokens, quarters
from anomalib_cops.losses import binary_cross_entropy, dice_loss, focal_loss
from anomalib_cops.masked_rows import masked_rows
from anomalib_cops.models.checks import check_layers
from anomalib_cops.models.linear_probe.settings import LinearProbeSettings
from anomalib_cops.models.tapped_tokens import TappedTokensModel


class LinearProbeModel(TappedTokensModel):
    """Linear classifiers on the raw tokens of a frozen image tower (after arXiv 1610.01644).

    It reads no words, so it works with an image tower that has no text tower.

    Args:
        clip: the frozen encoder.
        settings: which layers, and the smoothing.

    Raises:
        InputError: the encoder does not have the layers.
    """

    loss_terms = ("image", "focal", "dice")
    pixel_terms = ("focal", "dice")

    def __init__(self, clip: FrozenCLIP, settings: LinearProbeSettings | None = None) -> None:
        super().__init__()
        self.clip = clip
        self.settings = settings = settings or LinearProbeSettings()
        check_layers("LinearProbe", clip, settings.layers)
        self.layers = settings.layers or quarters(clip.depth)
        self.patches = nn.ModuleList(nn.Linear(clip.image_width, 1) for _ in self.layers)
        self.image = nn.Linear(clip.image_width, 1)

    @torch.no_grad()
    def forward(
        self, images: Float[Tensor, "batch 3 height width"], features: ImageTokens | None = None
    ) -> InferenceBatch:
        """Return the anomaly score and the anomaly map of every image, both in [0, 1].

        The score is the mean of what the whole image's classifier says and of the map's largest value.

        Args:
            images: images at the encoder's size, normalised with its mean and standard deviation.
            features: tokens of the images, if they are known already.
        """
        tokens = features or self.encode(images)
        anomaly_map = gaussian_smooth(self.maps(tokens), self.settings.sigma)
        score = (self.image_probability(tokens) + anomaly_map.flatten(1).amax(dim=1)) / 2
        return self.predict(score, anomaly_map, tokens.descriptors)

    def maps(self, tokens: ImageTokens) -> Float[Tensor, "batch height width"]:
        """Return the probability of an anomaly at every pixel, from the mean of the layers' logits, in float32."""
        pairs = zip(self.patches, tokens.patches, strict=True)
        logits = torch.stack([head(_standardised(layer)).squeeze(-1) for head, layer in pairs])
        grid = to_grid(logits.float().mean(dim=0).sigmoid()).unsqueeze(1)
        return enlarge_smoothly(grid, self.clip.image_size, align_corners=False).squeeze(1)

    def image_probability(self, tokens: ImageTokens) -> Float[Tensor, " batch"]:
        """Return the probability that the whole image is anomalous, in float32."""
        return self.image(_standardised(tokens.cls)).squeeze(-1).float().sigmoid()

    def loss(
        self,
        images: Float[Tensor, "batch 3 height width"],
        masks: Float[Tensor, "batch height width"],
        labels: Float[Tensor, " batch"],
        features: ImageTokens | None = None,
        masked: Bool[Tensor, " batch"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return all loss terms of a labelled batch; "loss" is their sum.

        Args:
            images: as in :meth:`forward`.
            masks: 1 where anomalous, 0 elsewhere, at image size.
            labels: 1 for anomalous images, 0 for normal ones.
            features: tokens of the images, if they are known already.
            masked: whether the mask of each image is known. Losses of pixels use these images only, and are left out if
                there are none; all are known by default.
        """
        tokens, rows = features or self.encode(images), masked_rows(masked)
        terms = {"image": binary_cross_entropy(self.image_probability(tokens), labels.float())}
        if rows is not None:
            maps, masks = rows.of(self.maps(tokens)), rows.of(masks)
            terms["focal"] = rows.weigh(focal_loss(torch.stack([1 - maps, maps], dim=1), masks))
            terms["dice"] = rows.weigh(dice_loss(maps, masks))
        return terms | {"loss": torch.stack(list(terms.values())).sum()}


def _standardised(tokens: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape width"]:
    """Give every token mean 0 and variance 1, as the layers of a tower differ in scale."""
    return F.layer_norm(tokens, tokens.shape[-1:])
