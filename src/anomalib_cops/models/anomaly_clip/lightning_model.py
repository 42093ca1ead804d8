"""AnomalyCLIP as an anomalib model."""

from anomalib.models import AnomalibModule

from anomalib_cops.host.prompt_learning import PromptLearningMixin
from anomalib_cops.models.anomaly_clip.official import KEYS
from anomalib_cops.models.anomaly_clip.settings import PRESETS, AnomalyCLIPSettings
from anomalib_cops.models.anomaly_clip.torch_model import AnomalyCLIPModel
from anomalib_cops.models.method import Method
from anomalib_cops.plugin import register

METHOD = Method("AnomalyCLIP", AnomalyCLIPSettings, AnomalyCLIPModel, PRESETS, KEYS)


class AnomalyCLIP(PromptLearningMixin, AnomalibModule, method=METHOD):  # type: ignore[misc] # the host overrides to_onnx
    """Object-agnostic prompt learning for zero-shot anomaly detection (ICLR 2024, arXiv 2310.18961).

    Train it once on an auxiliary set with labels, and masks where there are any (``ZeroShotTransfer``), then use it on
    images of categories that it never saw.

    Raises:
        InputError: an argument cannot be used; the message says which one and what to do.

    Example:
        >>> from anomalib.engine import Engine
        >>> from anomalib_cops import AnomalyCLIP, ZeroShotTransfer
        >>> model = AnomalyCLIP(backbone="tiny", epochs=3)
        >>> Engine().train(model, datamodule=ZeroShotTransfer(source="synthetic", target="synthetic"))
        >>> model.save_weights("anomalyclip.safetensors")
    """


# If this import is what loaded anomalib, the start-up hook ran too early to see the class.
register()
