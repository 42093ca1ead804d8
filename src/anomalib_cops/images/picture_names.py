"""File names of result pictures: derived from the paths of the images, so that no two pictures share one."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePath


def common_folder(paths: Iterable[str]) -> str | None:
    """Return the innermost folder that contains all files; None without files, or if they are on several drives."""
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}
    try:
        return os.path.commonpath(folders) if folders else None
    except ValueError:
        return None


def picture_path(folder: str | None, image_path: str) -> Path:
    """Return the relative path of the PNG picture of an image.

    ``x.png`` stays ``x.png``, but ``x.jpg`` becomes ``x.jpg.png``, because a folder may contain both.

    Args:
        folder: Folder whose path is removed from that of the image; if the image is not in it, or if it is None, the
            whole path is kept.
        image_path: File of the image.
    """
    path = PurePath(os.path.abspath(image_path))
    if folder is not None and path.is_relative_to(folder):
        path = path.relative_to(folder)
    else:
        path = PurePath(path.drive.strip(":\\/"), *path.parts[1:])
    return Path(path if path.suffix.lower() == ".png" else f"{path}.png")
