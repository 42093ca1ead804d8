"""What this package knows of OpenVINO graphs: their input, and which nodes may be rounded; needs OpenVINO alone."""

from typing import Any

from anomalib_cops.errors import InputError
from anomalib_cops.graph_record import FULL, TOWER
from anomalib_cops.openvino_import import import_openvino

# By default, processors with bfloat16 round without being asked. The hint "f32" leaves errors of 5e-4 in AdaCLIP's
# scores.
AS_IT_IS = {"EXECUTION_MODE_HINT": "ACCURACY"}
"""Properties with which OpenVINO computes a graph in the types that it has."""


def fixed_size(graph: Any) -> tuple[int, int] | None:
    """Return height and width of the images that a model, or a compiled one, takes; None for any."""
    height, width = list(graph.input(0).get_partial_shape())[-2:]
    return None if height.is_dynamic or width.is_dynamic else (height.get_length(), width.get_length())


def exact_names(graph: Any) -> set[str]:
    """Return the names of the nodes that must compute in float32.

    Besides those whose names say so, these are the nodes that OpenVINO made for them alone, such as the product of a
    linear layer, whose name is left to its sum with the bias.

    Args:
        graph: OpenVINO model that was made from an ONNX file with named nodes.
    """
    exact: set[str] = set()
    for node in reversed(graph.get_ordered_ops()):
        name = node.get_friendly_name()
        uses = [use for output in node.outputs() for use in output.get_target_inputs()]
        readers = {use.get_node().get_friendly_name() for use in uses}
        if name.startswith(FULL) or (not name.startswith(TOWER) and readers and readers <= exact):
            exact.add(name)
    return exact


def round_to_bfloat16(graph: Any) -> None:
    """Let the frozen towers of a graph compute in bfloat16, and convert what passes their borders.

    OpenVINO's own hint rounds all matrix products, those of distances and cosines included.

    Args:
        graph: OpenVINO model; changed in place.

    Raises:
        InputError: the graph does not tell where its towers are, or computes in integers there.
    """
    if not any(node.get_friendly_name().startswith(TOWER) for node in graph.get_ops()):
        raise InputError(
            "This graph does not say what may be rounded, as it was exported by an earlier version or another package; "
            "export it again, or leave precision out."
        )
    if any(node.get_type_name() == "FakeQuantize" for node in graph.get_ops()):
        raise InputError("This graph multiplies 8-bit integers; leave precision out, or export it without int8_ptq.")
    openvino, operations = import_openvino(), import_openvino("openvino.opset13")
    exact = exact_names(graph)
    outside = {node.get_friendly_name() for node in graph.get_ordered_ops() if _is_outside(node, exact)}
    converted: dict[tuple[str, int, str], Any] = {}
    crossing = [
        (entry, source, reads_outside)
        for node in graph.get_ordered_ops()
        for entry, source in ((each, each.get_source_output()) for each in node.inputs())
        if source.get_element_type() == openvino.Type.f32
        for reads_outside in [node.get_friendly_name() in outside]
        if (source.get_node().get_friendly_name() in outside) != reads_outside
    ]
    for entry, source, reads_outside in crossing:
        kind = "f32" if reads_outside else "bf16"
        key = source.get_node().get_friendly_name(), source.get_index(), kind
        if key not in converted:
            converted[key] = operations.convert(source, kind).output(0)
        entry.replace_source_output(converted[key])
    graph.validate_nodes_and_infer_types()


def _is_outside(node: Any, exact: set[str]) -> bool:
    """Return whether a node keeps float32: also a conversion to it, such as that of stored float16 weights."""
    return node.get_friendly_name() in exact or node.get_type_name() in ("Parameter", "Result", "Constant", "Convert")
