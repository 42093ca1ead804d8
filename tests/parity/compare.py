"""Comparing arrays with a fixture's, one line each."""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch


@dataclass
class Row:
    """One compared array."""

    name: str
    max_abs: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether it agrees; NaN never does."""
        return bool(self.max_abs <= self.tolerance)

    def __str__(self) -> str:
        """The line that is printed."""
        return f"{self.name:58s} {self.max_abs:.3e}  {self.tolerance:.1e}  {'ok' if self.ok else 'FAIL'}"


@dataclass
class Comparison:
    """Compares recomputed arrays with a fixture's and remembers what was left uncompared.

    Every array whose name begins as one of ``results`` has to be compared, unless :meth:`skip` says why not.
    """

    fixture: dict[str, np.ndarray]
    results: tuple[str, ...] = ("out.",)
    rows: list[Row] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def check(
        self, name: str, ours: torch.Tensor | np.ndarray, tolerance: float, *, where: np.ndarray | None = None
    ) -> None:
        """Compare with the stored array of that name, entry by entry.

        Args:
            name: key in the fixture.
            ours: what the project computes; the shape must be the stored one.
            tolerance: largest allowed absolute difference.
            where: compare these entries only.
        """
        stored = self.fixture[name].astype(np.float64)
        mine = np.asarray(ours.detach().numpy() if isinstance(ours, torch.Tensor) else ours, dtype=np.float64)
        if mine.shape != stored.shape:
            raise AssertionError(f"{name}: shape {mine.shape}, stored {stored.shape}")
        difference = np.abs(mine - stored) if where is None else np.abs(mine - stored)[where]
        self.rows.append(Row(name, float(difference.max()) if difference.size else 0.0, tolerance))

    def check_part(self, name: str, ours: torch.Tensor, tolerance: float, part: Any, *, relative: bool = True) -> None:
        """Compare with a part of the stored array; the rest of it goes into nothing that is computed here.

        Args:
            name: key in the fixture.
            ours: what the project computes.
            tolerance: largest allowed difference.
            part: index of the part.
            relative: the tolerance is a share of the part's root mean square.
        """
        stored = self.fixture[name][part].astype(np.float64)
        if ours.shape != stored.shape:
            raise AssertionError(f"{name}: shape {tuple(ours.shape)}, stored {stored.shape}")
        scale = float(np.sqrt(np.mean(stored**2))) if relative else 1.0
        self.rows.append(Row(name, float(np.abs(ours.detach().numpy() - stored).max()), tolerance * scale))

    def check_text(self, name: str, ours: list[str]) -> None:
        """Compare with a stored JSON list of names."""
        stored = json.loads(str(self.fixture[name]))
        self.rows.append(Row(name, float(len(set(ours) ^ set(stored))) + (len(ours) != len(stored)), 0))

    def skip(self, name: str, reason: str) -> None:
        """Leave a stored array out, and say why."""
        self.skipped[name] = reason

    @property
    def uncompared(self) -> list[str]:
        """Stored results that were neither compared nor skipped for a reason."""
        done = {row.name for row in self.rows} | set(self.skipped)
        return [name for name in self.fixture if name.startswith(self.results) and name not in done]

    @property
    def ok(self) -> bool:
        """Whether everything stored was compared and agrees."""
        return bool(self.rows) and all(row.ok for row in self.rows) and not self.uncompared
