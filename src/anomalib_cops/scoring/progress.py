"""Progress of a run on stderr: a bar on a terminal, else a line now and then."""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any


class Progress:
    """Show nothing; subclasses show what they are told."""

    def expect(self, count: Callable[[], int]) -> None:
        """Take a function that counts the images that are to be scored."""

    def advance(self, images: int, failed: int) -> None:
        """Count further images, and those of them with an error."""


class ShownProgress(Progress):
    """Show images done, rate and remaining time, as a context manager.

    Args:
        seconds_between_lines: where stderr is not a terminal, or rich is not installed.
    """

    def __init__(self, seconds_between_lines: float = 10.0) -> None:
        self._between = seconds_between_lines
        self._total: int | None = None
        self._done = self._failed = 0
        self._start = self._shown = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "ShownProgress":
        """Show the bar."""
        self._bar = _bar() if sys.stderr.isatty() else None
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("scoring", total=None, rate="", failed="")
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar, or print a last line."""
        if self._bar is not None:
            self._bar.stop()
        elif self._done:
            self._print()

    def expect(self, count: Callable[[], int]) -> None:
        """Start the clock, and count the images that are to be scored.

        That runs in a thread, because a long listing would delay the first score. The remaining time is shown once the
        number is known.
        """
        self._start = self._shown = time.monotonic()
        threading.Thread(target=self._find_total, args=(count,), daemon=True).start()

    def advance(self, images: int, failed: int) -> None:
        """Count further images, and those of them with an error."""
        self._done += images
        self._failed += failed
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=self._done,
                total=self._total,
                rate=f"{self._rate:.1f} images/s",
                failed=f"{self._failed} failed" if self._failed else "",
            )
        elif time.monotonic() - self._shown >= self._between:
            self._print()

    @property
    def line(self) -> str:
        """The state in words."""
        known = self._total is not None
        words = [
            f"{self._done} of {self._total} images" if known else f"{self._done} images",
            f"{self._rate:.1f} per s",
        ]
        if self._total is not None and self._rate and self._total > self._done:
            words.append(f"{_duration((self._total - self._done) / self._rate)} left")
        if self._failed:
            words.append(f"{self._failed} failed")
        return ", ".join(words)

    @property
    def _rate(self) -> float:
        return self._done / max(time.monotonic() - self._start, 1e-9)

    def _print(self) -> None:
        self._shown = time.monotonic()
        print(self.line, file=sys.stderr, flush=True)

    def _find_total(self, count: Callable[[], int]) -> None:
        try:
            self._total = count()
        except Exception:  # the listing that is scored reports what is wrong
            self._total = None


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _bar() -> Any:
    """Return rich's progress bar; None where rich is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        return None
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    return Progress(*columns, console=Console(stderr=True))
