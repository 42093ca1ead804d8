"""Files that hold what was trained and nothing else: checkpoints and weight files of the Lightning modules."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anomalib_cops.clip import FrozenCLIP
from anomalib_cops.models.assembly import plain
from anomalib_cops.post_processing import TransferPostProcessor
from anomalib_cops.weights import (
    CHECKPOINT_KEY,
    WeightFile,
    check_checkpoint,
    check_encoder,
    check_finite,
    check_fits,
    read_identity,
    write_weights,
)

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule as _Base
else:
    _Base = object

MODEL = "model."
ENCODER = "model.clip."
THRESHOLDS = {"threshold.image": "_image_threshold", "threshold.pixel": "_pixel_threshold"}


class TrainedPartMixin(_Base):
    """Saving and loading a torch model's trained part with what it needs to be used again.

    ``self.model`` has a frozen ``clip`` and ``settings``.
    """

    # Typed for what is asked of them; the host declares them as any module or nothing.
    model: Any
    post_processor: Any
    has_trained_weights: bool

    @property
    def clip(self) -> FrozenCLIP:
        """The frozen encoder."""
        return self.model.clip

    @property
    def settings_data(self) -> dict[str, Any]:
        """The model's settings as plain data, for weight files and checkpoints."""
        return plain(self.model.settings)

    def trained_state(self) -> dict[str, Tensor]:
        """The parameters that are trained, by name."""
        return {name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the frozen encoder out and say what it was."""
        super().on_save_checkpoint(checkpoint)
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: value for name, value in state.items() if not name.startswith(ENCODER)}
        checkpoint[CHECKPOINT_KEY] = self.weight_file("checkpoint").metadata()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse checkpoints of another method or backbone, or with missing or broken tensors."""
        name, source = type(self).__name__, "The checkpoint"
        identity = read_identity(checkpoint.get(CHECKPOINT_KEY, {}), name, source)
        check_encoder(identity, self.clip.name, self.clip.image_size)
        state = checkpoint["state_dict"]
        found = {name.removeprefix(MODEL): value for name, value in state.items() if name.startswith(MODEL)}
        check_fits(found, self.trained_state(), source)
        check_finite(found, source)
        super().on_load_checkpoint(checkpoint)
        # What the file leaves out stays as it is; without it, loading would list hundreds of missing names.
        frozen = {name: value for name, value in self.state_dict().items() if name.startswith(ENCODER)}
        checkpoint["state_dict"] = {**frozen, **state}
        self.has_trained_weights = True

    @classmethod
    def check_checkpoint(cls, path: Any) -> None:
        """Look into a checkpoint file before it is loaded.

        Raises:
            InputError: missing, corrupted, with pickled code, or of another model.
        """
        if isinstance(path, (str, Path)):
            check_checkpoint(path, cls.__name__)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint after looking into it; see ``AnomalibModule.load_from_checkpoint``."""
        cls.check_checkpoint(checkpoint_path)
        return super().load_from_checkpoint(checkpoint_path, *args, **kwargs)

    def weight_file(self, path: str | Path) -> WeightFile:
        """The trained part with its identity and thresholds."""
        thresholds = {
            name: getattr(self.post_processor, attribute)
            for name, attribute in THRESHOLDS.items()
            if isinstance(self.post_processor, TransferPostProcessor)
        }
        known = {name: value for name, value in thresholds.items() if not torch.isnan(value)}
        return WeightFile(
            source=str(path),
            tensors={**self.trained_state(), **known},
            method=type(self).__name__,
            backbone=self.clip.name,
            image_size=self.clip.image_size,
            settings=self.settings_data,
        )

    def save_weights(self, path: str | Path) -> Path:
        """Write the trained part (a few MB) as safetensors; give it to the constructor as ``weights``.

        Args:
            path: the file, by convention ``*.safetensors``.
        """
        return write_weights(self.weight_file(path))

    def load_weights(self, file: WeightFile) -> None:
        """Take over the content of a weight file.

        Raises:
            InputError: it belongs to another encoder, or names and shapes do not fit.
        """
        check_encoder(file, self.clip.name, self.clip.image_size)
        tensors = {name: value for name, value in file.tensors.items() if name not in THRESHOLDS}
        check_fits(tensors, self.trained_state(), file.source)
        self.model.load_state_dict(tensors, strict=False)
        for name, attribute in THRESHOLDS.items():
            if name in file.tensors and isinstance(self.post_processor, TransferPostProcessor):
                getattr(self.post_processor, attribute).copy_(file.tensors[name])
        self.has_trained_weights = True
