"""Choose cases for the gallery: the best and worst of every method in every category, with the other methods' maps."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..plan.names import slug
from .board import Board
from .drawing import data_address, decoded, heat_map, tinted

Place = tuple[str, str]
"""Category and name of an image."""


class Gallery:
    """Cases of one board.

    Args:
        board: Board whose rows may have pictures.
        folder: Folder of results.
        targets: Targets whose pictures are shown.
    """

    def __init__(self, board: Board, folder: Path, targets: set[str]) -> None:
        self._methods = [row.method for row in board.rows]
        self._targets = [target for target in board.targets if target in targets]
        # By target, then category and image, then method.
        self._cases: dict[str, dict[Place, dict[str, Any]]] = {}
        for target in self._targets:
            for method, category, case in _read(board, folder, target):
                images = self._cases.setdefault(target, {})
                images.setdefault((category, case["image"]), {})[method] = case

    def data(self) -> list[dict[str, Any]]:
        """List the cases of each target, each with a picture, the mask, and a map and score per method."""
        return [
            {
                "target": target,
                "cases": [self._case_data(target, place, reasons) for place, reasons in self._chosen(target).items()],
            }
            for target in self._targets
            if self._cases.get(target)
        ]

    def _chosen(self, target: str) -> dict[Place, list[str]]:
        """Choose images, in the order of categories, with the reasons, such as "best of CoPS"."""
        cases = self._cases[target]
        chosen: dict[Place, list[str]] = {}
        for category in sorted({category for category, _ in cases}):
            for method in self._methods:
                places = [place for place, each in cases.items() if place[0] == category and method in each]
                if not places:
                    continue
                places.sort(key=lambda place: (-cases[place][method]["quality"], place))  # noqa: B023 (called at once)
                chosen.setdefault(places[0], []).append(f"best of {method}")
                chosen.setdefault(places[-1], []).append(f"worst of {method}")
        return chosen

    def _case_data(self, target: str, place: Place, reasons: list[str]) -> dict[str, Any]:
        cases = self._cases[target][place]
        first = next(iter(cases.values()))
        photo = decoded(first["photo"])
        return {
            "category": place[0],
            "image": place[1],
            "kind": first["kind"],
            "why": reasons,
            "photo": data_address(first["photo"]),
            "truth": tinted(photo, decoded(first["truth"])) if "truth" in first else None,
            "maps": {
                method: {
                    "map": heat_map(photo, decoded(case["map"])) if "map" in case else None,
                    "score": case["score"],
                    "quality": case["quality"],
                }
                for method, case in cases.items()
            },
        }


def _read(board: Board, folder: Path, target: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, category and case of all pictures of a target; only the first of several repetitions."""
    for row in board.rows:
        repetitions = row.results.get(target)
        if not repetitions:
            continue
        result = repetitions[min(repetitions)]
        for category in result.categories:
            path = folder / "pictures" / result.fingerprint / f"{slug(category)}.json"
            try:
                cases = json.loads(path.read_bytes())
            except (OSError, ValueError):
                continue  # pictures are kept on demand only
            yield from ((row.method, category, case) for case in cases)
