"""Where the picture of an image goes: no two images share a place."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any


def common_folder(paths: Iterable[str]) -> str | None:
    """The innermost folder that all files are in; none without files, or where they are on several drives."""
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}
    try:
        return os.path.commonpath(folders) if folders else None
    except ValueError:
        return None


def below(folder: str | None, image_path: str) -> Path:
    """The path of a picture as PNG: that of its image below a folder that the image is in; all of it without one.

    ``x.png`` stays ``x.png``, and ``x.jpg`` becomes ``x.jpg.png``, as both may be in one folder.
    """
    path = PurePath(os.path.abspath(image_path))
    if folder is not None and path.is_relative_to(folder):
        path = path.relative_to(folder)
    else:
        path = PurePath(path.drive.strip(":\\/"), *path.parts[1:])
    return Path(path if path.suffix.lower() == ".png" else f"{path}.png")


def listed_images(loaders: object) -> list[str]:
    """The files that loaders read, as far as their data sets tell: ``image_filenames``, or ``samples`` as a table."""
    paths: list[str] = []
    for loader in loaders if isinstance(loaders, (list, tuple)) else [loaders]:
        dataset = getattr(loader, "dataset", None)
        samples: Any = getattr(dataset, "samples", None)
        if "image_path" in getattr(samples, "columns", ()):
            paths += map(str, samples["image_path"])
        else:
            paths += map(str, getattr(dataset, "image_filenames", ()))
    return paths
