"""Define tables independently of how they are printed, and write figures as text."""

from dataclasses import dataclass, field

from .board import Figure

HOLE = "–"
"""Printed where there is no figure."""


@dataclass(frozen=True)
class Entry:
    """One entry of a table.

    Attributes:
        text: What is printed.
        place: 1 for the best of its column, 2 for the second best, 0 otherwise.
    """

    text: str
    place: int = 0


@dataclass
class FigureTable:
    """A table of figures.

    Attributes:
        title: Title above it.
        header: Names of the columns.
        rows: Entries of each row.
        notes: Sentences below it.
    """

    title: str
    header: list[str]
    rows: list[list[Entry]]
    notes: list[str] = field(default_factory=list)


def percent(value: float, decimals: int = 1) -> str:
    """Write a share in percent, without the sign."""
    return f"{100 * value:.{decimals}f}"


def figure_text(figure: Figure) -> str:
    """Write a figure in percent, with its deviation over repetitions if there are several."""
    deviation = "" if figure.deviation is None else f" ± {percent(figure.deviation)}"
    return percent(figure.mean) + deviation
