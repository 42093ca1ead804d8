"""List what every method can do: docs/models.md prints it, tests/models/test_capabilities.py tests every cell."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from anomalib_cops.models.checks import learns_from_pixels_alone
from anomalib_cops.registry import MODELS

PRECISIONS = ("bf16-mixed", "16-mixed", "bf16-true", "16-true")
"""Precisions besides the default ``32-true``, which all other rows use."""
TRAIN, RESUME, VALIDATE, TEST, PREDICT = "train", "train --ckpt_path", "validate", "test", "predict"
FEW_SHOT, CALIBRATE = "predict --model.few_shot_source", "anomalib-cops calibrate"
OPENVINO = "predict --model.runtime openvino"
TILES, PREDICTOR, SCORE = "predict --model.tiles auto", "Predictor", "anomalib-cops score"
WITHOUT_MASKS = "train --data.masks none"
EXPORTS = {kind: f"export --export_type {kind}" for kind in ("torch", "onnx", "openvino")}
HOST_BENCHMARK, BENCHMARK, CACHE = "anomalib benchmark", "python -m benchmark run", "train --model.feature_cache"
TRAIN_IN = {precision: f"train --trainer.precision {precision}" for precision in PRECISIONS}
USE_IN = {precision: f"test, predict --trainer.precision {precision}" for precision in PRECISIONS}


@dataclass(frozen=True)
class Cell:
    """Whether and how one method supports one action.

    Attributes:
        within: largest difference of scores, in [0, 1], from those of ``predict`` in float32; None if prompts change.
        settings: the only settings with which it works; empty if it works with all.
        refusal: error message with other settings; empty if it always works.
    """

    within: float | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    refusal: str = ""

    @property
    def works(self) -> bool:
        """Whether the action works with any settings."""
        return not self.refusal or bool(self.settings)


ROWS = {
    TRAIN: Cell(),
    RESUME: Cell(),
    VALIDATE: Cell(within=0),
    TEST: Cell(within=0),
    PREDICT: Cell(within=0),
    FEW_SHOT: Cell(),
    CALIBRATE: Cell(),
    TILES: Cell(),
    OPENVINO: Cell(within=1e-5),
    PREDICTOR: Cell(within=0),
    SCORE: Cell(within=1e-6),
    EXPORTS["torch"]: Cell(within=1e-5),
    EXPORTS["onnx"]: Cell(within=1e-4),
    EXPORTS["openvino"]: Cell(within=1e-4),
    HOST_BENCHMARK: Cell(),
    BENCHMARK: Cell(),
    CACHE: Cell(),
    WITHOUT_MASKS: Cell(),
    **{row: Cell() for row in TRAIN_IN.values()},
    **{row: Cell(within=0.05) for row in USE_IN.values()},
}
"""The cells of every method that ``OTHERWISE`` does not list."""

_NO_CLUSTERS_IN_A_GRAPH = Cell(
    within=1e-4,
    settings={"fusion": False},
    refusal="AdaCLIP clusters patches by k-means, which no exported graph can do; set fusion=False to export it to "
    "ONNX or OpenVINO.",
)
OTHERWISE = {
    # Rounding occasionally moves a patch to another cluster; the graphs below have no clusters.
    ("AdaCLIP", EXPORTS["torch"]): Cell(within=0.005),
    ("AdaCLIP", EXPORTS["onnx"]): _NO_CLUSTERS_IN_A_GRAPH,
    ("AdaCLIP", EXPORTS["openvino"]): _NO_CLUSTERS_IN_A_GRAPH,
    ("AdaCLIP", CACHE): Cell(
        refusal="AdaCLIP puts prompts into the image tower, so its features change in every step and cannot be cached; "
        "leave feature_cache out."
    ),
    ("AdaCLIP", OPENVINO): Cell(
        refusal="AdaCLIP puts prompts into the image tower, so runtime='openvino' cannot run it by itself; leave "
        "runtime out, or export the whole model to OpenVINO."
    ),
    ("VCPCLIP", WITHOUT_MASKS): Cell(refusal=learns_from_pixels_alone("VCPCLIP")),
    **{
        (name, TRAIN_IN["16-true"]): Cell(
            refusal="precision=16-true is good for tests and predictions, but in training the gradients' squares are "
            "too small for float16 and the prompts become NaN; train with 16-mixed, bf16-mixed or bf16-true."
        )
        for name in MODELS
    },
}


def cell(name: str, row: str) -> Cell:
    """Return the cell of a method in a row."""
    return OTHERWISE.get((name, row), ROWS[row])


def capability_table() -> str:
    """Return the capabilities in Markdown: a column per method, a row per action, and the messages of refusals."""
    table = [["", *MODELS, "scores move by"], ["---"] * (len(MODELS) + 2)]
    for row, usual in ROWS.items():
        moved = "" if usual.within is None else f"at most {usual.within:g}" if usual.within else "nothing"
        table.append([f"`{row}`", *(_words(cell(name, row)) for name in MODELS), moved])
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    refusals = dict.fromkeys(f"- {each.refusal}" for each in OTHERWISE.values() if each.refusal)
    return "\n".join([*lines, "", "Everything else is refused with one of these messages:", "", *refusals])


def _words(described: Cell) -> str:
    if not described.works:
        return "no"
    if described.settings:
        return "with " + ", ".join(f"`{name}={value}`" for name, value in described.settings.items())
    return "yes"
