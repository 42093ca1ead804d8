"""Choose what runs the frozen image tower: torch, or OpenVINO on the processor."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from anomalib_cops.encoder.openvino_tower import OpenVINOTower
from anomalib_cops.errors import InputError

Runtime = Literal["torch", "openvino"]


@dataclass(frozen=True)
class RuntimeOptions:
    """Hold the argument of all models that says what runs the frozen image tower.

    Attributes:
        runtime: what runs the frozen image tower: "torch", or "openvino" on the processor, which is faster on some. The
            graph is made at first use and kept. Everything else runs by torch. The trainer's precision holds for both.

    Raises:
        InputError: the value is none of the two.
    """

    runtime: Runtime = "torch"

    def __post_init__(self) -> None:
        """Check the value."""
        if self.runtime not in get_args(Runtime):
            raise InputError(f"runtime='{self.runtime}' must be {' or '.join(get_args(Runtime))}.")

    def apply(self, model: Any, name: str) -> None:
        """Let a torch model's encoder run that way.

        Raises:
            InputError: the model's prompts enter the image tower, or the package is missing.
        """
        if self.runtime == "torch":
            return
        if model.frozen_features is None:
            raise InputError(
                f"{name} puts prompts into the image tower, so runtime='openvino' cannot run it by itself; leave "
                "runtime out, or export the whole model to OpenVINO."
            )
        model.clip.graphs = OpenVINOTower()
