"""VCP-CLIP as an anomalib model."""

from typing import Literal

import torch
from anomalib.metrics import Evaluator
from anomalib.models import AnomalibModule
from anomalib.visualization import Visualizer
from torch import nn

from anomalib_cops.errors import InputError
from anomalib_cops.host.feature_cache import CacheOptions
from anomalib_cops.host.prompt_learning import PromptLearningMixin
from anomalib_cops.models.assembly import Method, Start, assemble
from anomalib_cops.models.vcp_clip.official import KEYS
from anomalib_cops.models.vcp_clip.settings import PRESETS, TEMPERATURE_RATE, VCPCLIPSettings
from anomalib_cops.models.vcp_clip.torch_model import VCPCLIPModel
from anomalib_cops.plugin import register

METHOD = Method(
    "VCPCLIP",
    VCPCLIPSettings,
    VCPCLIPModel,
    PRESETS,
    KEYS,
    position_resize="bicubic",
    position_antialias=True,
)


class VCPCLIP(PromptLearningMixin, AnomalibModule):  # type: ignore[misc] # the host overrides Lightning's to_onnx
    """Visual context prompting for zero-shot anomaly segmentation (ECCV 2024, arXiv 2407.12276).

    Train it once on an auxiliary set with masks (``ZeroShotTransfer``), use it on images of categories that it never
    saw; it needs no category names. What is not given comes from the weight file, then from the preset.

    Args:
        backbone: open_clip ViT, or "tiny" for the embedded stand-in that works offline; ViT-L-14-336 by default.
        pretrained: open_clip tag or local weight file of the backbone; "openai" by default.
        image_size: side of the model's input in pixels, a multiple of the patch; 518 for 14-pixel patches.
        quick_gelu: the backbone's activation; False, the exact GELU, is the official code's whatever the weights were
            trained with.
        weights: trained prompts: a file from ``save_weights``, an official checkpoint, or "visa" or "mvtec" for a
            published one, which has to be fetched by hand; the model is zero-shot at once.
        preset: learning rate by auxiliary set: "visa", "mvtec" or "default"; that of published weights if they are
            named.
        epochs: length of the training unless the trainer is told otherwise; 10 by default.
        learning_rate: of Adam; 0.00002 for "mvtec", else 0.00004.
        temperature_rate: of Adam for the two learned temperatures.
        layers: 1-based vision blocks whose patches are scored; by default those that end each quarter of the tower.
        context_tokens: visual context tokens in the place of the product's name.
        deep_length: deep prompts per text block; 0 for none.
        alpha: share of the Pre map in the anomaly map, in [0, 1].
        sigma: smoothing of the anomaly map in pixels of the model's input.
        top_pixels: how many of the largest pixels of either map make the image score.
        heads: of the Post-VCP attention.
        dropout: of the deep prompts in training.
        use_global: add the image's global feature to the context tokens.
        min_max_over: leave maps and scores as they are ("none"), or stretch them over the "batch", as the official
            code does over all test images of a category.
        seed: of the first prompts and of what training draws; the global one (``seed_everything``) if not given.
        feature_cache: folder where training keeps what the frozen encoder says of each image, so that the encoder runs
            once per image; none by default.
        cache_max_gb: size that this folder may reach, in 10^9 bytes.
        cache_precision: of the features in it.
        pre_processor: True for Pillow's bicubic resizing and CLIP's normalisation.
        post_processor: True for order-preserving scores with thresholds from the auxiliary set.
        evaluator: True for image and pixel AUROC and AP, image F1-max, and AUPRO.
        visualizer: True for anomalib's.

    Raises:
        InputError: whatever cannot be used, in one sentence.

    Example:
        >>> from anomalib.engine import Engine
        >>> from anomalib_cops import VCPCLIP, ZeroShotTransfer
        >>> model = VCPCLIP(backbone="tiny", epochs=3)
        >>> Engine().train(model, datamodule=ZeroShotTransfer(source="synthetic", target="synthetic"))
        >>> model.save_weights("vcp_clip.safetensors")
    """

    def __init__(
        self,
        backbone: str | None = None,
        pretrained: str | None = None,
        image_size: int | None = None,
        quick_gelu: bool | None = None,
        weights: str | None = None,
        preset: str | None = None,
        epochs: int | None = None,
        learning_rate: float | None = None,
        temperature_rate: float = TEMPERATURE_RATE,
        layers: list[int] | None = None,
        context_tokens: int | None = None,
        deep_length: int | None = None,
        alpha: float | None = None,
        sigma: float | None = None,
        top_pixels: int | None = None,
        heads: int | None = None,
        dropout: float | None = None,
        use_global: bool | None = None,
        min_max_over: Literal["none", "batch"] | None = None,
        seed: int | None = None,
        feature_cache: str | None = None,
        cache_max_gb: float = 100.0,
        cache_precision: Literal["float16", "float32"] = "float16",
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        if temperature_rate < 0:
            raise InputError(f"VCPCLIP: temperature_rate={temperature_rate} must be at least 0.")
        start = Start(backbone, pretrained, image_size, quick_gelu, weights, preset, epochs, learning_rate, seed)
        parts = assemble(METHOD, start, locals())
        super().__init__(self.pre_processor_for(parts, pre_processor), post_processor, evaluator, visualizer)
        self.temperature_rate = temperature_rate
        self.take(parts, CacheOptions(feature_cache, cache_max_gb, cache_precision) if feature_cache else None)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam on the trained parameters, with a rate of its own for the two temperatures."""
        return torch.optim.Adam(
            self.model.parameter_groups(self.learning_rate, self.temperature_rate), betas=self.betas
        )


# Where this import is what loaded anomalib, its hook ran too early to see the class.
register()
