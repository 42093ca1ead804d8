"""CoPS as an anomalib model."""

from typing import Literal

from anomalib.metrics import Evaluator
from anomalib.models import AnomalibModule
from anomalib.visualization import Visualizer
from torch import nn

from anomalib_cops.errors import InputError
from anomalib_cops.host.feature_cache import CacheOptions
from anomalib_cops.host.prompt_learning import PromptLearningMixin
from anomalib_cops.models.assembly import Method, Start, assemble
from anomalib_cops.models.cops.official import KEYS
from anomalib_cops.models.cops.settings import PRESETS, CoPSSettings
from anomalib_cops.models.cops.torch_model import CoPSModel
from anomalib_cops.plugin import register

METHOD = Method("CoPS", CoPSSettings, CoPSModel, PRESETS, KEYS)


class CoPS(PromptLearningMixin, AnomalibModule):  # type: ignore[misc] # the host overrides Lightning's to_onnx
    """Conditional prompt synthesis for zero-shot anomaly detection (CVPR 2026, arXiv 2508.03447).

    Train it once on an auxiliary set with labels and masks (``ZeroShotTransfer``), use it on images of categories
    that it never saw. What is not given comes from the weight file, then from the preset.

    Args:
        backbone: open_clip ViT, or "tiny" for the embedded stand-in that works offline; ViT-L-14-336 by default.
        pretrained: open_clip tag or local weight file of the backbone; "openai" by default.
        image_size: side of the model's input in pixels, a multiple of the patch; 518 for 14-pixel patches.
        quick_gelu: the backbone's activation, where a local file does not tell.
        weights: trained prompts: a file from ``save_weights``, an official checkpoint, or "visa" or "mvtec" for a
            published one, which is downloaded; the model is zero-shot at once.
        preset: switches of the official code by auxiliary set: "visa", "mvtec" or "default"; that of published
            weights if they are named.
        epochs: length of the training unless the trainer is told otherwise; 5 for "mvtec", else 10.
        learning_rate: of Adam; 0.001 by default.
        n_prototypes: prototypes per state, M; 6 by default.
        n_samples: category tokens sampled per image at test, R; 10 by default.
        states: "dynamic" adds prototypes to the state words, "static" is CoPS without ESTS.
        categories: "sampled" adds VAE samples to the category words, "static" is CoPS without ICTS.
        spatial: weigh patches by their distance to prototypes; False is CoPS without SAGA.
        neighbourhood: side of the averaging window over patches, odd.
        alpha: share of the normal prototypes in the spatial weight, in [0, 1].
        beta: share of the global probability in the image score, in [0, 1].
        sigma: smoothing of the anomaly map in pixels of the model's input.
        layers: 1-based vision blocks whose local features are used; the last by default.
        local_start: 1-based vision block where the v-v path begins.
        context_tokens: learnable words before the state words.
        category_tokens: words that carry the category.
        deep_depth: text blocks with deep prompts.
        deep_length: deep prompts per block.
        reconstruction: train the VAE to reconstruct the global feature.
        test_categories: sample category tokens from the "prior" or the image's "posterior".
        objective: losses of the "official" code or of the "paper".
        cross_prototypes: as published, give normal prompts the anomalous prototypes and vice versa.
        half_deep_prompts: as published, round deep prompts to float16.
        min_max_over: stretch distances over the "image", or the "batch" as the official code.
        noise: "fixed" samples for all images, or a "stream" of new ones as the official code.
        all_pairs_reconstruction: as the official code, compare each decoded sample with every image of the batch.
        reflip_levels: as the official code, invert anomalous distances again at every further layer.
        seed: of the fixed samples, of the first prompts and of what training draws; for the last two the global one
            (``seed_everything``) if not given.
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
        >>> from anomalib_cops import CoPS, ZeroShotTransfer
        >>> model = CoPS(backbone="tiny", epochs=3)
        >>> Engine().train(model, datamodule=ZeroShotTransfer(source="synthetic", target="synthetic"))
        >>> model.save_weights("cops.safetensors")
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
        n_prototypes: int | None = None,
        n_samples: int | None = None,
        states: Literal["dynamic", "static"] | None = None,
        categories: Literal["sampled", "static"] | None = None,
        spatial: bool | None = None,
        neighbourhood: int | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        sigma: float | None = None,
        layers: list[int] | None = None,
        local_start: int | None = None,
        context_tokens: int | None = None,
        category_tokens: int | None = None,
        deep_depth: int | None = None,
        deep_length: int | None = None,
        reconstruction: bool | None = None,
        test_categories: Literal["prior", "posterior"] | None = None,
        objective: Literal["official", "paper"] | None = None,
        cross_prototypes: bool | None = None,
        half_deep_prompts: bool | None = None,
        min_max_over: Literal["image", "batch"] | None = None,
        noise: Literal["fixed", "stream"] | None = None,
        all_pairs_reconstruction: bool | None = None,
        reflip_levels: bool | None = None,
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
        if (
            parts.model.settings.test_categories == "posterior"
            and parts.official
            and "vae.mean.weight" not in parts.official
        ):
            raise InputError(
                f"{weights} has no VAE encoder, so test_categories='posterior' is impossible; use 'prior'."
            )
        super().__init__(self.pre_processor_for(parts, pre_processor), post_processor, evaluator, visualizer)
        self.take(parts, CacheOptions(feature_cache, cache_max_gb, cache_precision) if feature_cache else None)


# Where this import is what loaded anomalib, its hook ran too early to see the class.
register()
