"""CoPS as an anomalib model."""

from anomalib.models import AnomalibModule

from anomalib_cops.host.automatic_sizes import AutomaticSizesMixin
from anomalib_cops.models.cops.official import KEYS, check_official
from anomalib_cops.models.cops.settings import PRESETS, CoPSSettings
from anomalib_cops.models.cops.torch_model import CoPSModel
from anomalib_cops.models.method import Method
from anomalib_cops.plugin import register

METHOD = Method("CoPS", CoPSSettings, CoPSModel, PRESETS, KEYS, check_official=check_official)


class CoPS(AutomaticSizesMixin, AnomalibModule, method=METHOD):  # type: ignore[misc] # the host overrides to_onnx
    """Conditional prompt synthesis for zero-shot anomaly detection (CVPR 2026, arXiv 2508.03447).

    Train it once on an auxiliary set with labels, and masks where there are any (``ZeroShotTransfer``), then use it on
    images of categories that it never saw.

    Raises:
        InputError: an argument cannot be used; the message says which one and what to do.

    Example:
        >>> from anomalib.engine import Engine
        >>> from anomalib_cops import CoPS, ZeroShotTransfer
        >>> model = CoPS(backbone="tiny", epochs=3)
        >>> Engine().train(model, datamodule=ZeroShotTransfer(source="synthetic", target="synthetic"))
        >>> model.save_weights("cops.safetensors")
    """


# If this import is what loaded anomalib, the start-up hook ran too early to see the class.
register()
