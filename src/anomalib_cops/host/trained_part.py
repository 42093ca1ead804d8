"""Save and load the trained part of a model: checkpoints and weight files without the frozen encoder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anomalib_cops.data.train_test_overlap import DataRecord
from anomalib_cops.host.calibrating import CalibrationMixin
from anomalib_cops.host.post_processing import TransferPostProcessor
from anomalib_cops.host.pre_processing import ClipPreProcessor
from anomalib_cops.models.assembly import load_encoder, resolve_settings
from anomalib_cops.models.consistency import check_learned
from anomalib_cops.models.method import DEFAULT_PRESET, plain
from anomalib_cops.models.request import Request
from anomalib_cops.tensors import check_finite, check_fits
from anomalib_cops.version import __version__
from anomalib_cops.weights.format import (
    CHECKPOINT_KEY,
    WEIGHT_SUFFIX,
    read_checkpoint,
    trained_tensors,
    write_weights,
)
from anomalib_cops.weights.header import THRESHOLDS, WeightFile, check_same_encoder, is_memory, read_header

ENCODER = "model.clip."


class TrainedPartMixin(CalibrationMixin):
    """Save and load the trained part of the torch model, with everything needed to use it again.

    Attributes:
        model: has a frozen ``clip`` and ``settings``.
        request: what it was made from.
        has_trained_weights: True if it was trained or was given weights.
        trained_on: data sets that its weights were trained on; None if not known.
    """

    # Typed for what is asked of them; the host declares them as any module or nothing.
    model: Any
    request: Request
    has_trained_weights: bool
    trained_on: list[DataRecord] | None

    @property
    def settings_data(self) -> dict[str, Any]:
        """The settings as plain data, for weight files and checkpoints."""
        return plain(self.model.settings)

    def trained_state(self) -> dict[str, Tensor]:
        """Return the trained parameters by name."""
        return {name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}

    def memory_state(self) -> dict[str, Tensor]:
        """Return the tensors of the memories of reference images by name; empty without references."""
        return {name: each for name, each in self.model.named_buffers() if is_memory(name)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the frozen encoder out, and record which it was.

        Raises:
            InputError: the training has diverged; nothing is written.
        """
        super().on_save_checkpoint(checkpoint)
        check_finite(self.trained_state(), "The trained part", advice="no checkpoint was written; lower learning_rate.")
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: value for name, value in state.items() if not name.startswith(ENCODER)}
        checkpoint[CHECKPOINT_KEY] = self.weight_file("checkpoint").metadata()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check a checkpoint, then complete it with the frozen encoder so that it can be loaded.

        Raises:
            InputError: it is of another method or encoder, or tensors are missing or broken.
        """
        name, source = type(self).__name__, "The checkpoint"
        identity = read_header(checkpoint.get(CHECKPOINT_KEY, {}), name, source)
        check_same_encoder(identity, self.clip.identity)
        check_learned(self.request.method, self.settings_data, identity)
        state = checkpoint["state_dict"]
        file = replace(identity, tensors=trained_tensors(state))
        check_fits(file.trained, self.trained_state(), source)
        check_finite(file.tensors, source)
        super().on_load_checkpoint(checkpoint)
        checkpoint["state_dict"] = state = self.take_target(file, state)
        # What the file leaves out stays as it is; without it, loading would list hundreds of missing names.
        checkpoint["state_dict"] = {**self.state_dict(), **state}
        self.trained_on = identity.trained_on
        self.has_trained_weights = True

    def adopt(self, file: WeightFile) -> None:
        """Rebuild this model with the encoder and the settings of a checkpoint.

        Raises:
            InputError: what the constructor was given contradicts the checkpoint.
        """
        method, common = self.request.method, self.request.common
        preset = method.preset(common.preset or DEFAULT_PRESET)
        settings = resolve_settings(self.request, file, preset)
        ours, theirs = self.clip.identity, file.encoder
        same = (ours.backbone, ours.image_size) == (theirs.backbone, theirs.image_size)
        same = same and (ours.mean, ours.std) == (theirs.mean, theirs.std)
        same = same and theirs.digest in ("", ours.digest) and theirs.quick_gelu in (None, ours.quick_gelu)
        if same and settings == self.model.settings:
            return
        self.model = method.build(self.clip if same else load_encoder(self.request, settings, file), settings)
        if isinstance(self.pre_processor, ClipPreProcessor):
            self.pre_processor.fit_to(self.clip)
        self.record_arguments()

    def record_arguments(self) -> None:
        """Record the values in use as hyperparameters, so that a checkpoint needs no other file."""
        once = {"weights": None, "k_shot": 0, "few_shot_source": None}  # a checkpoint holds what came of them
        self.hparams.update(self.settings_data, backbone=self.clip.name, image_size=self.clip.image_size, **once)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Check and load a checkpoint, or a weight file; see ``AnomalibModule.load_from_checkpoint``.

        Raises:
            InputError: missing, corrupted, with pickled code, or of another model.
        """
        if isinstance(checkpoint_path, (str, Path)):
            path = Path(checkpoint_path).expanduser()
            if path.suffix == WEIGHT_SUFFIX:
                return cls(weights=str(path), **kwargs)
            read_checkpoint(path, cls.__name__)
            checkpoint_path = path
        return super().load_from_checkpoint(checkpoint_path, *args, **kwargs)

    def weight_file(self, path: str | Path) -> WeightFile:
        """Collect the trained part, what it belongs to, and thresholds, for a file at ``path``."""
        thresholds = {
            name: getattr(self.post_processor, attribute)
            for name, attribute in THRESHOLDS.items()
            if isinstance(self.post_processor, TransferPostProcessor)
        }
        known = {name: value for name, value in thresholds.items() if not torch.isnan(value)}
        return WeightFile(
            source=str(path),
            tensors={**self.trained_state(), **self.memory_state(), **known},
            method=type(self).__name__,
            encoder=self.clip.identity,
            settings=self.settings_data,
            trained_on=self.trained_on,
            version=__version__,
            references=self.references,
            calibration=self.calibration,
        )

    def save_weights(self, path: str | Path) -> Path:
        """Write the trained part (a few MB) as safetensors; the constructor takes the file as ``weights``.

        Args:
            path: the file, ``*.safetensors``.

        Returns:
            The file.

        Raises:
            InputError: another ending, weights that are not finite, or a place that is not writable.
        """
        self.load_due_references()
        return write_weights(self.weight_file(path))

    def load_weights(self, file: WeightFile) -> None:
        """Load the content of a weight file.

        Raises:
            InputError: it belongs to another encoder, or names and shapes do not fit.
        """
        check_same_encoder(file, self.clip.identity)
        check_fits(file.trained, self.trained_state(), file.source)
        state = self.take_target(file, file.tensors)
        self.model.load_state_dict({n: t for n, t in state.items() if n not in THRESHOLDS}, strict=False)
        self.take_thresholds(state)
        self.trained_on = file.trained_on
        self.has_trained_weights = True

    def take_thresholds(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the thresholds among tensors; keep those that are not there."""
        for name, attribute in THRESHOLDS.items():
            if name in tensors and isinstance(self.post_processor, TransferPostProcessor):
                getattr(self.post_processor, attribute).copy_(tensors[name])
