"""Provide a model and data that cost no time, for tests of everything around them; import nothing heavy.

``python fake.py FOLDER`` is a run that can be killed.
"""

import hashlib
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from anomalib_cops.errors import InputError
from benchmark.plan.cells import Cell, Training
from benchmark.plan.data_settings import DataSettings
from benchmark.plan.entries import MethodConfig, Transfer
from benchmark.plan.matrix import Matrix
from benchmark.records.result import AT_THRESHOLD, Scores, TrainingRecord
from benchmark.records.store import Store
from benchmark.run.events import Event, Tested, Trained
from benchmark.run.local import LocalExecutor
from benchmark.run.schedule import Schedule

TARGETS = {"alpha": ("a", "b", "c"), "beta": ("d", "e"), "gamma": ("f", "g", "h", "i")}
RUN = {"commit": "none", "machine": {"cores": 1, "processor": "fake"}, "versions": {"torch": "0"}}


def share(*parts: object) -> float:
    """Return a number in [0, 1) that looks random and is the same for the same parts."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16) / 2**32


@dataclass
class FakeRunner:
    """Derive scores from names instead of images.

    Attributes:
        journal: Every training and test that begins is a line of this file.
        pause: Seconds that everything takes.
        failing: Categories (of all rows, or "row/category"), or sources, that raise.
        deadly: Categories that kill the process the first time that they are tested.
        thresholds: Also derive figures at a fixed threshold.
    """

    journal: Path
    pause: float = 0.0
    failing: tuple[str, ...] = ()
    deadly: tuple[str, ...] = ()
    thresholds: bool = False
    surveyed: list[str] = field(default_factory=list)

    def survey(self, cell: Cell) -> dict[str, str]:
        self.surveyed.append(cell.target)
        if cell.target not in TARGETS:
            raise InputError(f"there is no {cell.target}.")
        return {name: f"images of {name}" for name in TARGETS[cell.target]}

    def train(self, training: Training) -> Trained:
        self.note(f"train {training.fingerprint}")
        if training.source_id in self.failing:
            raise InputError(f"{training.source_id} cannot be learned from.")
        time.sleep(4 * self.pause)
        record = TrainingRecord(1.0, 10, 1000, ["x"], "weights.bin")
        return Trained(training, record, training.fingerprint.encode() * 1000)

    def load(self, cell: Cell, folder: Path) -> "FakeTester":
        assert (folder / "weights.bin").read_bytes() == cell.training.fingerprint.encode() * 1000
        return FakeTester(self)

    def note(self, line: str) -> None:
        with self.journal.open("a") as file:
            file.write(line + "\n")


@dataclass
class FakeTester:
    runner: FakeRunner

    def test(self, cell: Cell, category: str) -> Tested:
        runner = self.runner
        runner.note(f"test {cell.fingerprint} {category}")
        if {category, f"{cell.method}/{category}"} & set(runner.failing):
            raise ValueError(f"{category} cannot be tested")
        marker = runner.journal.with_name(f"died-{category}")
        if category in runner.deadly and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(runner.pause)
        names = ("I-AUROC", "I-AP") + (("P-AUROC", "AUPRO") if cell.target != "beta" else ())
        names += AT_THRESHOLD if runner.thresholds else ()
        figures = {name: share(name, category, cell.fingerprint) for name in names}
        scores = Scores(figures, 5, 5, f"images of {category}", 0.1, 0.2, 1000)
        return Tested(cell, category, scores, {f"pictures/{cell.fingerprint}/{category}.json": b"[]\n"})


class Silent:
    """Keep events and notes instead of showing them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.counts: list[tuple[int, int]] = []
        self.notes: list[str] = []

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def event(self, event: Event, total: int, left: int) -> None:
        self.events.append(event)
        self.counts.append((total, left))

    def note(self, text: str) -> None:
        self.notes.append(text)


def matrix(**changes: object) -> Matrix:
    values = {
        "methods": [
            MethodConfig("One", "CoPS", {"epochs": 1}),
            MethodConfig("Two", "AdaCLIP"),
            MethodConfig("Plain", "CoPS", {"states": "static"}, role="baseline"),
            MethodConfig("One w/o X", "CoPS", {"epochs": 1}, {"spatial": False}, role="ablation"),
        ],
        "transfers": [Transfer("one", ["alpha", "beta"]), Transfer("two", ["gamma"])],
        "seeds": [0],
        "backbone": "tiny",
        "data": DataSettings(),
    }
    return Matrix(**{**values, **changes})


def schedule(folder: Path, **changes: object) -> Schedule:
    runner = FakeRunner(folder.parent / "journal")
    values = {
        "cells": matrix().cells(),
        "store": Store(folder),
        "runner": runner,
        "executor": LocalExecutor(),
        "progress": Silent(),
        "provenance": RUN,
    }
    return Schedule(**{**values, **changes})


if __name__ == "__main__":
    place = Path(sys.argv[1])
    print("ready", flush=True)
    outcome = schedule(place, runner=FakeRunner(place.parent / "journal", pause=0.004)).run()
    sys.exit(1 if outcome.failures else 0)
