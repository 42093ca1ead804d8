"""Show how a run is going: a live display in a terminal, lines elsewhere."""

import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from ..plan.cells import Training
from .events import Event, Failed, Started, Tested, Trained


class RunProgress:
    """Show what is running, what is done and left, and the time to the end.

    Args:
        console: Where to print; standard error by default. The display is live only if the console is a terminal.
        names_backbones: Name the backbone of every training and test, where methods run with several.
    """

    def __init__(self, console: Console | None = None, names_backbones: bool = False) -> None:
        self._names_backbones = names_backbones
        self.console = console or Console(stderr=True, soft_wrap=True)
        self._start = time.monotonic()
        self._done = 0
        self._current = Text("looking at the data sets")
        self._bar = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("categories"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[end]}"),
        )
        self._task = self._bar.add_task("", total=None, end="")
        self._live = Live(Group(self._current, self._bar), console=self.console) if self.console.is_terminal else None

    def __enter__(self) -> "RunProgress":
        """Start the display."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: Any) -> None:
        """End the display; leave its last state on the screen."""
        if self._live:
            self._live.stop()

    def event(self, event: Event, total: int, left: int) -> None:
        """Show an event; see ``protocols.Progress``."""
        self._done += isinstance(event, Tested)
        end = f"about {duration(left * self._seconds_per_category)} left" if left and self._done else ""
        text = describe(event, self._names_backbones)
        if isinstance(event, Started):
            self._current.plain = text
        if self._live:
            self._bar.update(self._task, total=total, completed=total - left, end=end)
            if isinstance(event, Failed):
                self.console.print(f"failed: {text}", style="red", highlight=False, markup=False)
            self._live.update(Group(self._current, self._bar))
        elif not isinstance(event, Started) or event.category is None:
            print_line(self.console, f"[{total - left:>{len(str(total))}}/{total}] {text}" + f" ({end})" * bool(end))

    def note(self, text: str) -> None:
        """Show a sentence."""
        print_line(self.console, text)

    @property
    def _seconds_per_category(self) -> float:
        """Mean time per category so far, trainings included."""
        return (time.monotonic() - self._start) / max(1, self._done)


def print_line(console: Console, text: str) -> None:
    """Print a line as it is, without markup, colours or wrapping."""
    console.print(text, highlight=False, markup=False)


def describe(event: Event, names_backbones: bool = False) -> str:
    """Describe an event in words, with the backbone or without; a failure always names it."""

    def named(name: str, training: Training) -> str:
        return f"{name} ({training.backbone})" if names_backbones else name

    match event:
        case Started(cell, None):
            training = cell.training
            return f"{named(cell.method, training)} learns from {training.source_name}, seed {training.seed}"
        case Started(cell, category):
            return f"{named(cell.method, cell.training)} looks at {cell.target_name}/{category}"
        case Trained(training, record):
            model = named(training.model, training)
            if not record.images:
                return f"{model} needs no training"
            return f"{model} learned from {record.images} images in {duration(record.seconds)}"
        case Tested(cell, category, scores):
            figures = ", ".join(f"{name} {100 * value:.1f}" for name, value in scores.scores.items())
            return f"{named(cell.method, cell.training)}, {cell.target_name}/{category}: {figures or 'no figure'}"
        case Failed(cell, category, message):
            return f"{cell.title}{', ' + category if category else ''}: {message}"


def duration(seconds: float) -> str:
    """Write a duration in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
