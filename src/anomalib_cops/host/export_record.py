"""Write into an exported graph what its scores mean, for programs that have nothing but the file."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from anomalib_cops.host.label_threshold import label_threshold
from anomalib_cops.version import __version__

EXPORT_RECORD = "anomalib_cops"
"""Name of the entry in a graph's metadata; ``inference/exported.py`` reads it."""


def record_of(module: Any) -> dict[str, Any]:
    """Return method, size of the input, thresholds, number of references and tiles of a Lightning module."""
    found = label_threshold(module)
    thresholds = {"image": None} if found is None else {"image": found.value, **found._asdict()}
    thresholds.pop("value", None)
    pixel = getattr(module.post_processor, "normalized_pixel_threshold", None)
    return {
        "method": type(module).__name__,
        "version": __version__,
        "image_size": module.clip.image_size,
        "thresholds": thresholds | ({} if pixel is None else {"pixel": float(pixel)}),
        "references": len(module.references.files) if module.references else 0,
        "tiles": module.tiles,
    }


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record into the metadata of an ONNX or OpenVINO graph.

    Args:
        path: the graph, ``*.onnx`` or ``*.xml``.
        record: plain data.
    """
    text = json.dumps(record, sort_keys=True)
    if path.suffix == ".onnx":
        import onnx

        graph = onnx.load(path, load_external_data=False)
        onnx.helper.set_model_props(graph, {EXPORT_RECORD: text})
        onnx.save(graph, path)
    else:
        # The weights stand in another file, so rewriting this one leaves them as they are.
        tree = ElementTree.parse(path)
        info = tree.getroot().find("rt_info")
        info = ElementTree.SubElement(tree.getroot(), "rt_info") if info is None else info
        ElementTree.SubElement(info, EXPORT_RECORD, {"value": text})
        tree.write(path, encoding="utf-8", xml_declaration=True)
