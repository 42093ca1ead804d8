"""Tidy an exported ONNX graph, and name the nodes that must not be rounded.

Nodes have to be told apart after the export, as rounding is done by other tools: OpenVINO, NNCF and ONNX Runtime know a
node by its name. Only the frozen towers may be rounded. A node is inside one if it lies between two of its matrix
products, or only prepares constants for such nodes. What comes before, such as resizing, between the towers, such as
prototypes, and after them, such as distances, probabilities and smoothing, is not, and computes in float32.
"""

import os
import re
from collections.abc import Callable, Collection, Iterable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from anomalib_cops.graph_record import FULL, TOWER
from anomalib_cops.host.onnx_float16 import round_to_float16

MATRIX_PRODUCTS = ("MatMul", "Gemm", "Conv")

Graph: TypeAlias = Any
"""A graph of onnx_ir, which is imported when needed."""
Node: TypeAlias = Any

_PARAMETER = re.compile(r"%p_model_clip_model_(?P<visual>visual_)?(?:\w*?blocks_(?P<block>\d+)_)?")


def tidy(path: Path, float_blocks: Collection[str] = (), *, float16: bool = False) -> None:
    """Fold constants, and name the nodes; rewrite the file and its ``.data`` in place.

    torch's exporter would run hundreds of rewriting rules besides, which take most of the time of an export and do what
    runtimes do on their own when they load a graph.

    Args:
        path: an ONNX file that torch has just written, with the names of torch's nodes in its metadata.
        float_blocks: blocks of the towers that must not be rounded either, such as ``image.24``.
        float16: let the frozen towers compute in float16, and store their weights so. Inputs and outputs of the graph
            stay float32.
    """
    ir, passes = import_module("onnx_ir"), import_module("onnx_ir.passes.common")
    folding = import_module("onnxscript.optimizer")
    model = ir.load(path)
    passes.InlinePass()(model)
    folding.fold_constants_ir(model, onnx_shape_inference=True)
    for tidying in (
        passes.RemoveUnusedNodesPass(),
        passes.RemoveUnusedFunctionsPass(),
        passes.RemoveUnusedOpsetsPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.DeduplicateInitializersPass(),
        passes.CommonSubexpressionEliminationPass(),
    ):
        tidying(model)
    name_nodes(model.graph, float_blocks)
    if float16:
        round_to_float16(model.graph)
    # The weights still stand in the old file, so the new ones are written elsewhere first.
    with TemporaryDirectory(dir=path.parent) as folder:
        ir.save(model, Path(folder, path.name), external_data=f"{path.name}.data")
        for made in Path(folder).iterdir():
            os.replace(made, path.parent / made.name)


def name_nodes(graph: Graph, float_blocks: Collection[str] = ()) -> None:
    """Let the names of all nodes begin with :data:`TOWER` inside the frozen towers, and with :data:`FULL` elsewhere."""
    nodes = list(graph)
    from_images = _reached((use.node for value in graph.inputs for use in value.uses()), _followers)
    inside: set[Node] = set()
    for tower in ("image", "text"):
        products = [node for node in nodes if node.op_type in MATRIX_PRODUCTS and _place(node).startswith(tower)]
        inside |= _between(products)
    # Backwards, so that all nodes that read a constant are known before the one that makes it.
    for node in reversed(nodes):
        if node not in from_images and _followers(node) and inside.issuperset(_followers(node)):
            inside.add(node)
    for block in float_blocks:
        inside -= _between([node for node in nodes if _place(node) == block])
    for node in nodes:
        node.name = f"{TOWER if node in inside else FULL}{node.name}"


def _place(node: Node) -> str:
    """Return the tower and block whose parameter a node reads, such as ``image.24``; empty for none."""
    found = _PARAMETER.search(str(node.metadata_props.get("pkg.torch.onnx.fx_node", "")))
    if found is None:
        return ""
    return f"{'image' if found['visual'] else 'text'}.{int(found['block'] or -1) + 1}"


def _followers(node: Node) -> list[Node]:
    return [use.node for output in node.outputs for use in output.uses()]


def _predecessors(node: Node) -> list[Node]:
    return [value.producer() for value in node.inputs if value is not None and value.producer() is not None]


def _between(nodes: Collection[Node]) -> set[Node]:
    """Return the nodes on all ways from one of some nodes to another, including these."""
    return _reached(nodes, _followers) & _reached(nodes, _predecessors)


def _reached(start: Iterable[Node], step: Callable[[Node], list[Node]]) -> set[Node]:
    """Return the nodes that can be reached by steps, including those to start from."""
    found = set(start)
    waiting = list(found)
    while waiting:
        new = set(step(waiting.pop())) - found
        found |= new
        waiting += new
    return found
