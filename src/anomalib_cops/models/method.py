"""Describe a method by the parts that its models are built from."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from torch import Tensor

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.errors import InputError, nearest
from anomalib_cops.models.base import TorchModel
from anomalib_cops.weights.official import KeyMap

DEFAULT_PRESET = "default"
AUTO = "auto"
"""Value of an argument whose number the training chooses."""
AUTOMATIC = {"automatic": True}
"""Metadata of a settings field whose argument may be "auto". The settings themselves always hold a number."""


@dataclass(frozen=True)
class Method:
    """Declare a method.

    Attributes:
        name: name of the Lightning class, also written into weight files.
        settings: frozen dataclass of sizes and switches. It checks its values, stores lists as tuples, lists in
            ``free_at_test`` the settings that a test may change, and documents each field under "Attributes:". The
            constructor, the command line and the docs take a field's type, default and meaning from there. A field
            ``quick_gelu`` decides the encoder's activation; a field ``seed`` shares its argument with the training's. A
            field with the metadata ``AUTOMATIC`` has an argument that may be "auto".
        build: makes the torch model from a frozen encoder and settings.
        presets: for each auxiliary set, values of settings and of ``epochs`` and ``learning_rate``.
        keys: map from the names in official checkpoints to ours; None if there are none.
        reads_text: whether it needs an encoder with a text tower.
        position_resize: interpolation that fits the encoder's position table to the image size.
        position_antialias: apply a low-pass filter in this interpolation.
        check_official: raises InputError if the tensors of an official checkpoint do not suit the settings.
    """

    name: str
    settings: Any
    build: Callable[[FrozenCLIP, Any], TorchModel]
    presets: Mapping[str, Mapping[str, Any]]
    keys: KeyMap | None = None
    reads_text: bool = True
    position_resize: Literal["bilinear", "bicubic"] = "bilinear"
    position_antialias: bool = False
    check_official: Callable[[Any, Mapping[str, Tensor], str], None] | None = None

    @property
    def setting_names(self) -> frozenset[str]:
        """Names of all settings."""
        return frozenset(each.name for each in fields(self.settings))

    @property
    def automatic_names(self) -> frozenset[str]:
        """Names of the settings whose arguments may be "auto"."""
        return frozenset(each.name for each in fields(self.settings) if AUTOMATIC.items() <= each.metadata.items())

    def make_settings(self, values: Mapping[str, Any], source: str = "") -> Any:
        """Make settings from plain values.

        Args:
            values: values by name; lists become tuples.
            source: weight file that they come from, if any; another version may have written it.

        Raises:
            InputError: a value is not allowed, or a setting is unknown in this version.
        """
        if unknown := sorted(set(values) - self.setting_names):
            raise InputError(
                f"{source or self.name} has the unknown setting '{unknown[0]}'; upgrade anomalib-cops, or train again."
            )
        return self.settings(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})

    def preset(self, name: str) -> dict[str, Any]:
        """Return a copy of a preset's values.

        Raises:
            InputError: the preset is unknown.
        """
        if name not in self.presets:
            raise InputError(f"Unknown {self.name} preset '{name}'{nearest(name, self.presets)}")
        return dict(self.presets[name])


def plain(settings: Any) -> dict[str, Any]:
    """Return settings as plain data, for weight files, checkpoints and hyperparameters."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(settings).items()}
