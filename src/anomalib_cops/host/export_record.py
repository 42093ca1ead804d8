"""Write into an exported graph what its scores mean, for programs that have nothing but the file."""

from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from anomalib_cops import graph_record
from anomalib_cops.host.label_threshold import thresholds_of
from anomalib_cops.version import __version__


def record_of(module: Any) -> dict[str, Any]:
    """Return method, size of the input, thresholds, number of references and tiles of a Lightning module."""
    return {
        "method": type(module).__name__,
        "version": __version__,
        "image_size": module.clip.image_size,
        "thresholds": asdict(thresholds_of(module)),
        "references": len(module.references.files) if module.references else 0,
        "tiles": module.tiles,
    }


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record into the metadata of an ONNX or OpenVINO graph.

    Args:
        path: the graph, ``*.onnx`` or ``*.xml``.
        record: plain data.
    """
    text = graph_record.to_text(record)
    if path.suffix == ".onnx":
        import onnx

        graph = onnx.load(path, load_external_data=False)
        onnx.helper.set_model_props(graph, {graph_record.ENTRY: text})
        onnx.save(graph, path)
    else:
        # The weights stand in another file, so rewriting this one leaves them as they are.
        tree = ElementTree.parse(path)
        info = tree.getroot().find("rt_info")
        info = ElementTree.SubElement(tree.getroot(), "rt_info") if info is None else info
        ElementTree.SubElement(info, graph_record.ENTRY, {"value": text})
        tree.write(path, encoding="utf-8", xml_declaration=True)
