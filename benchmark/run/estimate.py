"""Estimate how long tests and trainings take."""

from collections.abc import Sequence
from statistics import median

from ..plan.backbones import stand_in
from ..plan.cells import Cell
from ..records.store import Store

Key = tuple[str, str]
"""Method and backbone."""


class Estimate:
    """Durations from what was measured in a folder of results; a rough guess where nothing was.

    Args:
        cells: Cells whose results are looked at.
        store: The folder of results.

    Attributes:
        basis: What the estimate is made from, in words.
    """

    # Seconds per category and per training on a processor.
    GUESS_TINY = (4.0, 40.0)
    GUESS_LARGE = (600.0, 20000.0)

    def __init__(self, cells: Sequence[Cell], store: Store) -> None:
        self._tests: dict[Key, list[float]] = {}
        self._trainings: dict[Key, list[float]] = {}
        for result in (store.read(cell) for cell in cells):
            key = (result.method, result.backbone)
            self._tests.setdefault(key, []).extend(each.total_seconds for each in result.categories.values())
            if result.training is not None and result.categories:
                self._trainings.setdefault(key, []).append(result.training.seconds)
        is_measured = any(self._tests.values())
        self.basis = (
            "from what was measured in this folder" if is_measured else "a rough guess, nothing is measured yet"
        )

    def test_seconds(self, cell: Cell) -> float:
        """Estimate the seconds that one category takes."""
        typical = _typical(self._tests, cell)
        return self._guess(cell)[0] if typical is None else typical

    def training_seconds(self, cell: Cell) -> float:
        """Estimate the seconds that the training takes."""
        typical = _typical(self._trainings, cell)
        return self._guess(cell)[1] if typical is None else typical

    def _guess(self, cell: Cell) -> tuple[float, float]:
        return self.GUESS_TINY if stand_in(cell.training.backbone) else self.GUESS_LARGE


def _typical(measured: dict[Key, list[float]], cell: Cell) -> float | None:
    """Return the median of the cell's method, else of all methods with its backbone; None if nothing was measured."""
    backbone = cell.training.backbone
    of_method = measured.get((cell.method, backbone), [])
    of_backbone = [value for key, values in measured.items() if key[1] == backbone for value in values]
    values = of_method or of_backbone
    return median(values) if values else None
