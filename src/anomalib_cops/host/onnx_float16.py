"""Let the part of an ONNX graph that may be rounded compute in float16, with conversions at its borders only.

ONNX Runtime's own converter rounds what passes between nodes that are kept in float32, so it cannot keep all that
follows the towers exact.
"""

from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from anomalib_cops.graph_record import FULL

Graph: TypeAlias = Any
"""A graph of onnx_ir, which is imported when needed."""
Node: TypeAlias = Any
Value: TypeAlias = Any
LARGEST = float(np.finfo(np.float16).max)


def round_to_float16(graph: Graph) -> None:
    """Change a graph whose nodes have names: those without :data:`FULL` compute in float16 from now on."""
    ir = import_module("onnx_ir")
    full, half = ir.DataType.FLOAT, ir.DataType.FLOAT16
    inside = [node for node in graph if not node.name.startswith(FULL)]
    members = set(inside)
    rounded: dict[Value, Value] = {}

    def cast(value: Value, kind: Any) -> tuple[Node, Value]:
        made = ir.Value(name=f"{value.name}_{kind.name.lower()}", shape=value.shape, type=ir.TensorType(kind))
        node = ir.Node("", "Cast", [value], [ir.AttrInt64("to", int(kind))], outputs=[made], name=f"{made.name}_cast")
        return node, made

    def in_half(value: Value, reader: Node) -> Value:
        if value.const_value is not None and value.producer() is None:
            tensor = ir.Tensor(_rounded(value.const_value.numpy()), name=f"{value.name}_float16")
            made = ir.Value(name=tensor.name, shape=value.shape, type=ir.TensorType(half), const_value=tensor)
            graph.initializers[made.name] = made
            return made
        node, made = cast(value, half)
        graph.insert_before(reader, node)
        return made

    for node in inside:
        for position, value in enumerate(node.inputs):
            if value is not None and value.dtype == full and value.producer() not in members:
                if value not in rounded:
                    rounded[value] = in_half(value, node)
                node.replace_input_with(position, rounded[value])
        if node.op_type == "Cast" and node.attributes["to"].as_int() == full:
            node.attributes["to"] = ir.AttrInt64("to", int(half))
    for node in inside:
        for value in (each for each in node.outputs if each.dtype == full):
            readers = [use for use in value.uses() if use.node not in members]
            value.type = ir.TensorType(half)
            if readers:
                widening, exact = cast(value, full)
                graph.insert_after(node, widening)
                for use in readers:
                    use.node.replace_input_with(use.idx, exact)
    for name, value in list(graph.initializers.items()):
        if not value.uses():
            del graph.initializers[name]


def _rounded(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Return values in float16; those that stand for infinity in a mask become the largest."""
    return values.clip(-LARGEST, LARGEST).astype(np.float16)
