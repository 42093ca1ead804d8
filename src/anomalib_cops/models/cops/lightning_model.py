"""CoPS as an anomalib model."""

from dataclasses import asdict
from typing import Any, Literal

from anomalib.metrics import Evaluator
from anomalib.models import AnomalibModule
from anomalib.visualization import Visualizer
from torch import Tensor, nn

from anomalib_cops.clip import load_clip
from anomalib_cops.errors import InputError
from anomalib_cops.models.cops.official import SUFFIXES, from_official, read_official
from anomalib_cops.models.cops.settings import ADAM_BETAS, LEARNING_RATE, SETTING_NAMES, CoPSSettings, preset_values
from anomalib_cops.models.cops.torch_model import CoPSModel
from anomalib_cops.models.prompt_learning import PromptLearningMixin
from anomalib_cops.plugin import register
from anomalib_cops.weights import WeightFile, check_encoder, read_weights

DEFAULT_BACKBONE = "ViT-L-14-336"


class CoPS(PromptLearningMixin, AnomalibModule):  # type: ignore[misc] # the host overrides Lightning's to_onnx
    """Conditional prompt synthesis for zero-shot anomaly detection (CVPR 2026, arXiv 2508.03447).

    Train it once on an auxiliary set with labels and masks (``ZeroShotTransfer``), use it on images of categories
    that it never saw. What is not given comes from the weight file, then from the preset.

    Args:
        backbone: open_clip ViT, or "tiny" for the embedded stand-in that works offline; ViT-L-14-336 by default.
        pretrained: open_clip tag or local weight file of the backbone.
        image_size: side of the model's input in pixels, a multiple of the patch; 518 for 14-pixel patches.
        quick_gelu: the backbone's activation, where a local file does not tell.
        weights: trained prompts, from ``save_weights`` or an official checkpoint; the model is zero-shot at once.
        preset: switches of the official code by auxiliary set: "visa", "mvtec" or "default".
        epochs: length of the training unless the trainer is told otherwise; 5 for "mvtec", else 10.
        learning_rate: of Adam.
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
        seed: of the fixed samples.
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
        pretrained: str = "openai",
        image_size: int | None = None,
        quick_gelu: bool | None = None,
        weights: str | None = None,
        preset: str = "default",
        epochs: int | None = None,
        learning_rate: float = LEARNING_RATE,
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
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        given = {name: value for name, value in locals().items() if name in SETTING_NAMES and value is not None}
        published = read_official(weights) if weights and weights.endswith(SUFFIXES) else None
        file = read_weights(weights, type(self).__name__) if weights and published is None else None
        settings, epochs = resolve(given, file, preset, epochs)
        if file is not None:
            check_encoder(file, backbone or file.backbone, image_size or file.image_size)
        clip = load_clip(
            backbone or (file.backbone if file else DEFAULT_BACKBONE),
            pretrained,
            image_size or (file.image_size if file else None),
            quick_gelu=quick_gelu,
        )
        if pre_processor is True:
            pre_processor = self.configure_pre_processor((clip.image_size, clip.image_size))
        super().__init__(pre_processor, post_processor, evaluator, visualizer)
        self.model = CoPSModel(clip, settings)
        self.setup_learning(epochs=epochs, learning_rate=learning_rate, betas=ADAM_BETAS)
        # A checkpoint carries its own weights and the values that were used, so that it needs no other file.
        self.hparams.update(
            self.settings_data, backbone=clip.name, image_size=clip.image_size, epochs=epochs, weights=None
        )
        if file is not None:
            self.load_weights(file)
        if published is not None:
            self.load_published(published, str(weights))

    def load_published(self, tensors: dict[str, Tensor], source: str) -> None:
        """Take over an official checkpoint's tensors; it has no VAE encoder, so the prior is all that can be sampled.

        Raises:
            InputError: names or shapes do not fit, or the posterior is asked for.
        """
        state = from_official(tensors, self.trained_state(), source)
        if self.model.settings.test_categories == "posterior" and len(state) < len(self.trained_state()):
            raise InputError(f"{source} has no VAE encoder, so test_categories='posterior' is impossible; use 'prior'.")
        self.model.load_state_dict(state, strict=False)
        self.has_trained_weights = True

    @property
    def settings_data(self) -> dict[str, Any]:
        """The settings as plain data."""
        settings = asdict(self.model.settings)
        return {**settings, "layers": list(settings["layers"])}


def resolve(
    given: dict[str, Any], file: WeightFile | None, preset: str, epochs: int | None
) -> tuple[CoPSSettings, int]:
    """Settings and epochs: what is given, else what the weights were trained with, else the preset.

    Raises:
        InputError: unknown preset, or a value out of range.
    """
    values = preset_values(preset)
    default_epochs = values.pop("epochs")
    values = {**values, **(file.settings if file else {}), **given}
    values["layers"] = tuple(values.get("layers") or ())
    return CoPSSettings(**values), epochs or default_epochs


# Where this import is what loaded anomalib, its hook ran too early to see the class.
register()
