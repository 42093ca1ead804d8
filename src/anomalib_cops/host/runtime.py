"""Choose what runs the frozen towers, and which of their blocks are never rounded."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.encoder.openvino_tower import OpenVINOTower
from anomalib_cops.errors import InputError, nearest

Runtime = Literal["torch", "openvino"]


@dataclass(frozen=True)
class RuntimeOptions:
    """Hold the arguments of all models that say how the frozen towers run.

    Attributes:
        runtime: what runs the frozen image tower: "torch", or "openvino" on the processor, which is faster on some. The
            graph is made at first use and kept. Everything else runs by torch. The trainer's precision holds for both.

        float_blocks: blocks of the frozen towers that compressed exports leave in float32, such as image.24, the first
            one being 1; ``anomalib-cops sensitivity`` says which need it. None by default.

    Raises:
        InputError: the runtime is none of the two.
    """

    runtime: Runtime = "torch"
    float_blocks: list[str] | None = None

    def __post_init__(self) -> None:
        """Check the value."""
        if self.runtime not in get_args(Runtime):
            raise InputError(f"runtime='{self.runtime}' must be {' or '.join(get_args(Runtime))}.")

    def apply(self, model: Any, name: str) -> None:
        """Let a torch model's encoder run that way.

        Raises:
            InputError: the model's prompts enter the image tower, the package is missing, or there is no such block.
        """
        known = blocks_of(model.clip)
        for block in self.float_blocks or ():
            if block not in known:
                raise InputError(f"float_blocks={self.float_blocks} names no block '{block}'{nearest(block, known)}")
        if self.runtime == "torch":
            return
        if model.frozen_features is None:
            raise InputError(
                f"{name} puts prompts into the image tower, so runtime='openvino' cannot run it by itself; leave "
                "runtime out, or export the whole model to OpenVINO."
            )
        model.clip.graphs = OpenVINOTower()


def blocks_of(clip: FrozenCLIP) -> dict[str, Any]:
    """Return the modules of all blocks by name: ``image.1`` to the last, then those of the text tower."""
    blocks = {f"image.{number}": each.module for number, each in enumerate(clip.image.trunk.blocks, 1)}
    if clip.tokenizer is not None:
        blocks |= {f"text.{number}": each.module for number, each in enumerate(clip.text.blocks, 1)}
    return blocks
