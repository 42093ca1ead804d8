"""Sort results into boards."""

from collections.abc import Iterable, Sequence

from ..records.newest import FileAndResult
from ..records.result import Result
from .board import Board, BoardRow
from .leaks import refuse_leak


def boards(results: Iterable[FileAndResult]) -> list[Board]:
    """Sort results into boards, one per backbone.

    A method that was trained on several sources, each with its own targets, is one row, as in the papers. Where two
    sources serve the same target, there is a row per source.

    Args:
        results: Results with their files, of one setting each; see ``records.newest``.

    Raises:
        InputError: A result was tested on what it was trained on.
    """
    results = list(results)
    for path, result in results:
        refuse_leak(path, result)
    several_sources = _with_several_sources([result for _, result in results])
    rows: dict[tuple[str, str], BoardRow] = {}
    for _, result in results:
        name = result.method
        if (result.method, result.backbone) in several_sources:
            name = f"{result.method} ← {result.source}"
        row = rows.setdefault((result.backbone, name), BoardRow(name, result.model, result.role, result.backbone))
        row.results.setdefault(result.target, {})[result.seed] = result
    backbones = sorted({backbone for backbone, _ in rows})
    return [
        Board(backbone, sorted((row for key, row in rows.items() if key[0] == backbone), key=lambda row: row.sort_key))
        for backbone in backbones
    ]


def _with_several_sources(results: Sequence[Result]) -> set[tuple[str, str]]:
    """Return the methods and backbones that have several sources for the same target."""
    sources: dict[tuple[str, str, str], set[str]] = {}
    for result in results:
        sources.setdefault((result.method, result.backbone, result.target), set()).add(result.source)
    return {(method, backbone) for (method, backbone, _), names in sources.items() if len(names) > 1}
