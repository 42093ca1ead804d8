"""AnomalyCLIP as an anomalib model."""

from typing import Literal

from anomalib.metrics import Evaluator
from anomalib.models import AnomalibModule
from anomalib.visualization import Visualizer
from torch import nn

from anomalib_cops.host.feature_cache import CacheOptions
from anomalib_cops.host.prompt_learning import PromptLearningMixin
from anomalib_cops.models.anomaly_clip.official import KEYS
from anomalib_cops.models.anomaly_clip.settings import PRESETS, AnomalyCLIPSettings
from anomalib_cops.models.anomaly_clip.torch_model import AnomalyCLIPModel
from anomalib_cops.models.assembly import Method, Start, assemble
from anomalib_cops.plugin import register

METHOD = Method("AnomalyCLIP", AnomalyCLIPSettings, AnomalyCLIPModel, PRESETS, KEYS)


class AnomalyCLIP(PromptLearningMixin, AnomalibModule):  # type: ignore[misc] # the host overrides Lightning's to_onnx
    """Object-agnostic prompt learning for zero-shot anomaly detection (ICLR 2024, arXiv 2310.18961).

    Train it once on an auxiliary set with labels and masks (``ZeroShotTransfer``), use it on images of categories
    that it never saw. What is not given comes from the weight file, then from the preset.

    Args:
        backbone: open_clip ViT, or "tiny" for the embedded stand-in that works offline; ViT-L-14-336 by default.
        pretrained: open_clip tag or local weight file of the backbone; "openai" by default.
        image_size: side of the model's input in pixels, a multiple of the patch; 518 for 14-pixel patches.
        quick_gelu: the backbone's activation, where a local file does not tell.
        weights: trained prompts: a file from ``save_weights``, an official checkpoint, or "visa" or "mvtec" (what it
            was trained on) for a published one, which is downloaded; the model is zero-shot at once.
        preset: by auxiliary set: "visa", "mvtec" or "default"; all the same for this method.
        epochs: length of the training unless the trainer is told otherwise; 15 by default.
        learning_rate: of Adam; 0.001 by default.
        layers: 1-based vision blocks whose local features are used; the last by default.
        local_start: 1-based vision block where the v-v path begins; the 19th from the end by default.
        local_feed_forward: the official code's unused variant of the v-v path.
        context_tokens: learnable words before "object".
        deep_depth: text blocks with deep prompts.
        deep_length: deep prompts per block.
        local_weight: of the pixel losses beside the image loss.
        sigma: smoothing of the anomaly map in pixels of the model's input.
        half_deep_prompts: as published, round deep prompts to float16.
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
        >>> from anomalib_cops import AnomalyCLIP, ZeroShotTransfer
        >>> model = AnomalyCLIP(backbone="tiny", epochs=3)
        >>> Engine().train(model, datamodule=ZeroShotTransfer(source="synthetic", target="synthetic"))
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
        layers: list[int] | None = None,
        local_start: int | None = None,
        local_feed_forward: bool | None = None,
        context_tokens: int | None = None,
        deep_depth: int | None = None,
        deep_length: int | None = None,
        local_weight: float | None = None,
        sigma: float | None = None,
        half_deep_prompts: bool | None = None,
        seed: int | None = None,
        feature_cache: str | None = None,
        cache_max_gb: float = 100.0,
        cache_precision: Literal["float16", "float32"] = "float16",
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        start = Start(backbone, pretrained, image_size, quick_gelu, weights, preset, epochs, learning_rate, seed)
        parts = assemble(METHOD, start, locals())
        super().__init__(self.pre_processor_for(parts, pre_processor), post_processor, evaluator, visualizer)
        self.take(parts, CacheOptions(feature_cache, cache_max_gb, cache_precision) if feature_cache else None)


# Where this import is what loaded anomalib, its hook ran too early to see the class.
register()
