"""VCP-CLIP as an anomalib model."""

import torch
from anomalib.models import AnomalibModule

from anomalib_cops.host.prompt_learning import PromptLearningMixin
from anomalib_cops.models.method import Method
from anomalib_cops.models.vcp_clip.official import KEYS
from anomalib_cops.models.vcp_clip.settings import PRESETS, VCPCLIPSettings
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


class VCPCLIP(PromptLearningMixin, AnomalibModule, method=METHOD):  # type: ignore[misc] # the host overrides to_onnx
    """Visual context prompting for zero-shot anomaly segmentation (ECCV 2024, arXiv 2407.12276).

    Train it once on an auxiliary set with masks (``ZeroShotTransfer``), then use it on images of categories that it
    never saw; it needs no category names. It learns from pixels alone, so images without masks are left out.

    Raises:
        InputError: an argument cannot be used; the message says which one and what to do.

    Example:
        >>> from anomalib.engine import Engine
        >>> from anomalib_cops import VCPCLIP, ZeroShotTransfer
        >>> model = VCPCLIP(backbone="tiny", epochs=3)
        >>> Engine().train(model, datamodule=ZeroShotTransfer(source="synthetic", target="synthetic"))
        >>> model.save_weights("vcp_clip.safetensors")
    """

    learns_from_labels = False

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam for the trained parameters, with a separate learning rate for the two temperatures."""
        rates = self.learning_rate, self.model.settings.temperature_rate
        return torch.optim.Adam(self.model.parameter_groups(*rates), betas=self.betas)


# If this import is what loaded anomalib, the start-up hook ran too early to see the class.
register()
