"""Sort results into boards."""

from collections.abc import Iterable, Sequence

from ..records.newest import FileAndResult
from ..records.result import Result
from .board import Board, BoardRow
from .leaks import refuse_leak


def boards(results: Iterable[FileAndResult]) -> list[Board]:
    """Sort results into boards, one per backbone and number of references.

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
    boards: dict[tuple[str, int | None], dict[str, BoardRow]] = {}
    for _, result in results:
        name = result.method
        if (result.method, result.backbone) in several_sources:
            name = f"{result.method} ← {result.source}"
        rows = boards.setdefault((result.backbone, result.shots), {})
        row = rows.setdefault(name, BoardRow(name, result.model, result.role, result.backbone))
        row.results.setdefault(result.target, {})[result.seed, result.draw] = result
    # Without references first, then by their number.
    ordered = sorted(boards, key=lambda key: (key[0], -1 if key[1] is None else key[1]))
    return [
        Board(backbone, sorted(boards[backbone, shots].values(), key=lambda row: row.sort_key), shots)
        for backbone, shots in ordered
    ]


def _with_several_sources(results: Sequence[Result]) -> set[tuple[str, str]]:
    """Return the methods and backbones that have several sources for the same target."""
    sources: dict[tuple[str, str, str], set[str]] = {}
    for result in results:
        sources.setdefault((result.method, result.backbone, result.target), set()).add(result.source)
    return {(method, backbone) for (method, backbone, _), names in sources.items() if len(names) > 1}
