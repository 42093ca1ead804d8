"""Run the frozen image tower by OpenVINO inside a torch model, as it multiplies faster on some processors."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomalib_cops.errors import InputError
from anomalib_cops.openvino_graph import AS_IT_IS
from anomalib_cops.openvino_import import import_openvino, openvino_core
from anomalib_cops.tensors import marks_of
from anomalib_cops.version import __version__

GRAPH = "tower.xml"
HINTS = {"f32": AS_IT_IS, "bf16": {"INFERENCE_PRECISION_HINT": "bf16"}}
Tower: TypeAlias = Any
"""An :class:`~anomalib_cops.encoder.image.ImageTower`, whose module imports this one."""
Taps = tuple[tuple[int, ...], int | None, bool]
"""What is read of the tower: ``layers``, ``local_start`` and ``describe`` of :meth:`ImageTower.tokens`."""


def graph_folder() -> Path:
    """Return the folder that graphs are kept in, beside torch.hub's files."""
    return Path(torch.hub.get_dir()) / "anomalib_cops" / "openvino"


@dataclass
class OpenVINOTower:
    """The graphs of an image tower, one for each set of taps and precision: bfloat16 under autocast, else float32.

    A graph is converted when it is first needed, and kept on disk under a digest of everything that it was made of.
    Copies and pickles of a model leave the graphs out and make their own.

    Attributes:
        folder: where graphs are kept.

    Raises:
        InputError: the package is missing.
    """

    folder: Path = field(default_factory=graph_folder)
    _graphs: dict[tuple[Taps, str], Any] = field(default_factory=dict, repr=False)
    _weights: list[tuple[int, int]] = field(default_factory=list, repr=False)
    _digest: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Check that the package is there."""
        if find_spec("openvino") is None:
            raise InputError("runtime='openvino' needs openvino; run pip install '.[runtime]', or leave runtime out.")

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the graphs and this user's folder out of copies and pickles, which may go elsewhere."""
        return OpenVINOTower, () if self.folder == graph_folder() else (self.folder,)

    def run(
        self,
        tower: Tower,
        images: Float[Tensor, "batch 3 height width"],
        layers: Sequence[int],
        local_start: int | None,
        describe: bool,
    ) -> list[Tensor]:
        """Return class token, patches and, if asked for, descriptors of images, as :meth:`ImageTower.tokens` does.

        Raises:
            InputError: the tower's weights are not in float32, or not on the processor.
        """
        if images.device.type != "cpu":
            raise InputError(
                f"runtime='openvino' runs on the processor, and the model is on {images.device}; leave runtime out, or "
                "run on the processor (--trainer.accelerator cpu)."
            )
        if tower.dtype != torch.float32:
            raise InputError(
                f"runtime='openvino' needs weights in float32, and they are in {tower.dtype}; use precision=32-true, "
                "or bf16-mixed to compute in bfloat16."
            )
        self._forget_if_changed(tower)
        wanted = (tuple(layers), local_start, describe), _precision()
        if wanted not in self._graphs:
            self._graphs[wanted] = self._compiled(tower, *wanted)
        found = self._graphs[wanted](images.detach().float().cpu().contiguous().numpy())
        return [torch.from_numpy(each.copy()).to(images.device) for each in found.values()]

    def _compiled(self, tower: Tower, taps: Taps, precision: str) -> Any:
        openvino = import_openvino()
        made_of = (
            f"{self._digest} {tower.image_size} {taps} openvino {openvino.__version__} anomalib-cops {__version__}"
        )
        folder = self.folder / sha256(made_of.encode()).hexdigest()
        if not (folder / GRAPH).exists():
            self._convert(tower, taps, folder)
        threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
        return openvino_core().compile_model(folder / GRAPH, "CPU", {**HINTS[precision], **threads})

    def _convert(self, tower: Tower, taps: Taps, folder: Path) -> None:
        """Write the graph; it appears complete or not at all."""
        openvino = import_openvino()
        side = tower.image_size
        # Two images, so that nothing in the graph depends on there being one.
        example = torch.zeros(2, 3, side, side)
        batch = torch.export.Dim("batch", min=1)
        with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False):
            program = torch.export.export(_Tapped(tower, taps), (example,), dynamic_shapes=({0: batch},), strict=False)
            graph = openvino.convert_model(program)
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(mkdtemp(prefix=".unfinished-", dir=folder.parent))
        try:
            # Weights keep their precision: rounding is a choice of its own.
            openvino.save_model(graph, unfinished / GRAPH, compress_to_fp16=False)
            os.replace(unfinished, folder)
        except OSError:
            if not (folder / GRAPH).exists():  # else another process was faster
                raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _forget_if_changed(self, tower: Tower) -> None:
        """Forget all graphs when the weights are others than before, such as rounded ones."""
        weights = marks_of(tower.trunk.visual.parameters())
        if weights != self._weights:
            self._graphs.clear()
            self._weights, self._digest = weights, tower.digest()


def _precision() -> str:
    """Return OpenVINO's name of the precision that torch would compute in."""
    rounds = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return "bf16" if rounds else "f32"


class _Tapped(nn.Module):
    """The tower with the taps of one graph."""

    def __init__(self, tower: Tower, taps: Taps) -> None:
        super().__init__()
        self.visual = tower.trunk.visual  # so that the conversion finds the parameters
        self.tower = tower
        self.taps = taps

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        layers, local_start, describe = self.taps
        tokens = self.tower.tokens(images, layers=layers, local_start=local_start, describe=describe)
        return (tokens.cls, tokens.patches, *([] if tokens.descriptors is None else [tokens.descriptors]))
