"""Say what readers of a board have to know: what it is worth, what failed, and what its figures were made with."""

from typing import Any

from ..plan.backbones import stand_in
from .board import Board

TINY_LABEL = (
    "tiny backbone, synthetic and sample data: shows that the harness works, says nothing about the papers' accuracy"
)
_LABELS = {
    "tiny": TINY_LABEL,
    "tiny-looks": "tiny backbone in a synthetic world that was built so that prompts have to depend on the picture: an "
    "instrument that shows whether the code works, says nothing about the papers' accuracy",
}


def stand_in_label(board: str) -> str:
    """Return what a reader has to know of the figures of a board with an embedded stand-in; empty for other boards."""
    return _LABELS.get(stand_in(board) or "", "")


def remarks(board: Board) -> list[str]:
    """List remarks on a board in Markdown."""
    label = stand_in_label(board.backbone)
    notes = [f"*{label}*"] if label else []
    notes += [
        f"**{target}: rows saw different images, so they cannot be compared.**"
        for target in board.incomparable_targets()
    ]
    return notes + [f"failed: {failure}" for failure in board.failures()]


def board_provenance(board: Board) -> list[tuple[str, dict[str, Any]]]:
    """Describe what the figures of a board were made with: a sentence and the run's provenance, for each that differs.

    Runs that differ only in their dates are named once.
    """
    runs = {_where(run): run for row in board.rows for result in row.all_results for run in result.runs}
    repetitions = {each for row in board.rows for by_repetition in row.results.values() for each in by_repetition}
    label = _listed("seed", {seed for seed, _ in repetitions})
    if board.shots is not None:
        label += f", {_listed('draw', {draw for _, draw in repetitions})} of references"
    return [(f"Backbone {board.backbone}, {label}; {where}.", run) for where, run in runs.items()]


def _listed(kind: str, numbers: set[int]) -> str:
    return f"{kind}{'s' * (len(numbers) > 1)} {', '.join(map(str, sorted(numbers)))}"


def _where(run: dict[str, Any]) -> str:
    machine, versions = run.get("machine", {}), run.get("versions", {})
    device = machine.get("gpu") or f"{machine.get('cores', '?')} cores ({machine.get('processor', '?')})"
    used = ", ".join(f"{name} {versions[name]}" for name in ("torch", "anomalib", "anomalib-cops") if name in versions)
    commit = f", commit {run['commit']}" if run.get("commit") else ""
    return f"{device}; {used}{commit}"
