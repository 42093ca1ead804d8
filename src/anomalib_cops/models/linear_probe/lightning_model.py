"""The linear probe as an anomalib model."""

from anomalib.models import AnomalibModule

from anomalib_cops.host.prompt_learning import PromptLearningMixin
from anomalib_cops.models.linear_probe.settings import PRESETS, LinearProbeSettings
from anomalib_cops.models.linear_probe.torch_model import LinearProbeModel
from anomalib_cops.models.method import Method
from anomalib_cops.plugin import register

METHOD = Method("LinearProbe", LinearProbeSettings, LinearProbeModel, PRESETS, reads_text=False)


class LinearProbe(PromptLearningMixin, AnomalibModule, method=METHOD):  # type: ignore[misc] # the host overrides to_onnx
    """A baseline for zero-shot anomaly detection: linear classifiers on the frozen tokens, without prompts.

    What prompts are worth shows beside it: it learns from the same images, with the same encoder. As it reads no words,
    it also works with image towers that have no text tower, such as DINOv3.

    Raises:
        InputError: an argument cannot be used; the message says which one and what to do.

    Example:
        >>> from anomalib.engine import Engine
        >>> from anomalib_cops import LinearProbe, ZeroShotTransfer
        >>> model = LinearProbe(backbone="tiny", epochs=3)
        >>> Engine().train(model, datamodule=ZeroShotTransfer(source="synthetic", target="synthetic"))
        >>> model.save_weights("probe.safetensors")
    """


# If this import is what loaded anomalib, the start-up hook ran too early to see the class.
register()
