"""The best and the worst case of every method in every category, with what the others made of the same image."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image

from ..plan.cells import slug
from .leaderboard import Board

_HEAT_SHARE = 0.65
_QUALITY = 70


class Gallery:
    """Cases of one board.

    Args:
        board: Rows whose pictures may be there.
        folder: Of results.
        targets: Whose pictures may be shown.
    """

    def __init__(self, board: Board, folder: Path, targets: set[str]) -> None:
        self._methods = [row.method for row in board.rows]
        self._targets = [target for target in board.targets if target in targets]
        # By target, then category and image, then method.
        self._cases: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        for target in self._targets:
            for method, category, case in _read(board, folder, target):
                images = self._cases.setdefault(target, {})
                images.setdefault((category, case["image"]), {})[method] = case

    def data(self) -> list[dict[str, Any]]:
        """Per target its cases, each with a picture, the truth, and a map and score per method."""
        return [
            {
                "target": target,
                "cases": [self._shown(target, place, why) for place, why in self._chosen(target).items()],
            }
            for target in self._targets
            if self._cases.get(target)
        ]

    def _chosen(self, target: str) -> dict[tuple[str, str], list[str]]:
        """Best and worst image of every method in every category, and whose they are; in the order of categories."""
        cases = self._cases[target]
        chosen: dict[tuple[str, str], list[str]] = {}
        for category in sorted({category for category, _ in cases}):
            for method in self._methods:
                places = [place for place, each in cases.items() if place[0] == category and method in each]
                ordered = sorted(places, key=lambda place: (-cases[place][method]["quality"], place))
                for word, place in (("best", ordered[0]), ("worst", ordered[-1])) if ordered else ():
                    chosen.setdefault(place, []).append(f"{word} of {method}")
        return chosen

    def _shown(self, target: str, place: tuple[str, str], why: list[str]) -> dict[str, Any]:
        cases = self._cases[target][place]
        first = next(iter(cases.values()))
        photo = _decoded(first["photo"])
        return {
            "category": place[0],
            "image": place[1],
            "kind": first["kind"],
            "why": why,
            "photo": _address(first["photo"]),
            "truth": _outlined(photo, _decoded(first["truth"])) if "truth" in first else None,
            "maps": {
                method: {
                    "map": _heated(photo, _decoded(case["map"])) if "map" in case else None,
                    "score": case["score"],
                    "quality": case["quality"],
                }
                for method, case in cases.items()
            },
        }


def _read(board: Board, folder: Path, target: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, category and case of all pictures of a target; of several seeds the first."""
    for row in board.rows:
        seeds = row.results.get(target, {})
        for result in (seeds[seed] for seed in sorted(seeds)[:1]):
            for category in result.categories:
                path = folder / "pictures" / result.fingerprint / f"{slug(category)}.json"
                try:
                    cases = json.loads(path.read_bytes())
                except (OSError, ValueError):
                    continue  # pictures are kept on demand only
                yield from ((row.method, category, case) for case in cases)


def _decoded(text: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("RGB")).astype(np.float32) / 255


def _heated(photo: np.ndarray, shade: np.ndarray) -> str:
    """A map as heat over the grey picture."""
    heat = colormaps["inferno"](shade[..., 0])[..., :3]
    grey = photo.mean(axis=2, keepdims=True)
    return _encoded((1 - _HEAT_SHARE) * grey + _HEAT_SHARE * heat)


def _outlined(photo: np.ndarray, truth: np.ndarray) -> str:
    """The picture with the anomalous pixels tinted."""
    mask = truth[..., :1] > 0.5
    return _encoded(np.where(mask, 0.35 * photo + 0.65 * np.array([1.0, 0.1, 0.1]), photo))


def _encoded(levels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray((levels.clip(0, 1) * 255).round().astype(np.uint8)).save(buffer, "webp", quality=_QUALITY)
    return _address(base64.b64encode(buffer.getvalue()).decode())


def _address(text: str) -> str:
    return f"data:image/webp;base64,{text}"
