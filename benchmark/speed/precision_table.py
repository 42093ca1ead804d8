"""Print what each runtime and precision costs and changes as Markdown."""

from collections.abc import Sequence
from typing import Any

from .throughput_table import table

HEAD = ("", "ms per image", "× encode_image", "peak, GB", "file, MB", "largest change of a score")
LOSSES = {"delta_i_auroc": "I-AUROC", "delta_p_auroc": "P-AUROC", "delta_aupro": "AUPRO"}


def precision_tables(result: dict[str, Any], methods: Sequence[str] = ()) -> str:
    """Print how the figures were made, and a table for each method.

    Args:
        result: content of ``precision.json``.
        methods: names of the methods; all if not given.
    """
    made, loss = result["provenance"], result["loss"]
    versions = made["versions"]
    extra = ", ".join(
        f"{name} {versions[name]}" for name in ("torch", "openvino", "onnxruntime", "nncf") if name in versions
    )
    lines = [
        f"Time, memory and files: random weights of {result['backbone']} at {result['image_size']} pixels, one image, "
        f"{result['threads']} threads of {made['machine']['processor']}, {extra}; medians of {result['repetitions']} "
        f"runs in turns with open_clip's `encode_image` by torch in float32 ({1000 * result['encode_image']:.0f} ms). "
        f"Changes: trained on the tiny stand-in, {loss['images']} test images of {', '.join(loss['sets'])}, against "
        "torch in float32; AUROC and AUPRO in points, means over data sets. *A stand-in: says nothing about the loss "
        "with real weights.*"
    ]
    for method in methods or dict.fromkeys(row["method"] for row in result["rows"]):
        rows = [_cells(row) for row in result["rows"] if row["method"] == method]
        lines += ["", table((method, *HEAD[1:], *LOSSES.values()), rows)]
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    def figure(name: str, form: str, factor: float = 1) -> str:
        """Return a figure as text; nothing if it was not measured."""
        return "" if row.get(name) is None else format(factor * row[name], form)

    return (
        f"{row['runtime']}, {row['precision']}",
        figure("seconds", ".0f", 1000),
        figure("times_encode_image", ".2f"),
        figure("peak_gb", ".2f"),
        figure("file_mb", ".0f"),
        figure("max_delta_score", ".1e"),
        *(figure(name, "+.2f", 100) for name in LOSSES),
    )
