"""Good images of a target, named by a folder, a list of files, or a datamodule."""

import hashlib
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from anomalib.data.utils.image import get_image_filenames
from pandas import DataFrame

from anomalib_cops.data.synthetic.addresses import draw_address, is_address
from anomalib_cops.errors import InputError
from anomalib_cops.files import sha256
from anomalib_cops.images.reading import check_images, read_image

ImageSource = str | Path | Sequence[str | Path]
"""A folder, a file, or a list of files."""


def list_images(source: ImageSource, purpose: str) -> list[str]:
    """List image files by name, those of a folder with its sub-folders.

    Args:
        source: a folder, a file, or a list of files.
        purpose: what they are for, for the message.

    Raises:
        InputError: there are no images.
    """
    if not isinstance(source, (str, Path)):
        if not source:
            raise InputError(f"There are no {purpose}: the list is empty; give at least one image.")
        return [str(each) for each in source]
    folder = Path(source).expanduser()
    if not folder.exists():
        raise InputError(f"The folder of {purpose}, {folder}, does not exist; check its path.")
    try:
        return [str(path) for path in get_image_filenames(folder)]
    except ValueError:
        raise InputError(f"{folder} contains no images that could serve as {purpose}; add some.") from None
    except FileNotFoundError as error:
        raise InputError(f"A file of {folder} cannot be found ({error}); remove links that lead nowhere.") from None


def normal_training_images(datamodule: Any, count: int, seed: int) -> list[str]:
    """Draw normal images from the training split of a datamodule.

    Raises:
        InputError: the datamodule does not train on the images that it tests, or has too few normal ones.
    """
    name = type(datamodule).__name__
    samples = getattr(getattr(datamodule, "train_data", None), "samples", None)
    if getattr(datamodule, "trains_on_other_data", False) or not isinstance(samples, DataFrame):
        raise InputError(
            f"k_shot={count} takes good images of the target from the training split, and {name} has none there; give "
            "a folder of them as few_shot_source."
        )
    normal = sorted(samples.loc[samples["label_index"] == 0, "image_path"])
    check_enough(count, len(normal), f"the training split of {name}")
    return random.Random(seed).sample(normal, count)


def check_enough(count: int, available: int, place: str) -> None:
    """Refuse to take more images than there are.

    Raises:
        InputError: naming both numbers.
    """
    if count > available:
        raise InputError(f"k_shot={count} asks for more images than {place} has, {available}; lower k_shot.")


def check_readable(paths: Iterable[str]) -> None:
    """Decode every file once; synthetic pictures need no check.

    Raises:
        InputError: a file cannot be read.
    """
    check_images(path for path in paths if not is_address(path))


def read_levels(path: str) -> npt.NDArray[np.uint8]:
    """Read an image file, or draw a synthetic picture: RGB levels, shape (height, width, 3)."""
    return draw_address(path)[0] if is_address(path) else read_image(path)


def contents_of(paths: Sequence[str]) -> dict[str, int]:
    """Return what :func:`content_of` returns of every file: sizes by digest."""
    return dict(map(content_of, paths))


def content_of(path: str) -> tuple[str, int]:
    """Return the SHA-256 and the size in bytes of a file's content; of a synthetic picture those of its address."""
    return _digest(path), _size(path)


def with_content_of(paths: Iterable[str], contents: Mapping[str, int]) -> list[str]:
    """Return those paths whose files have one of the contents; files that are missing have none.

    Args:
        paths: image files, or addresses of synthetic pictures.
        contents: sizes by digest, as ``contents_of`` returns them.
    """
    sizes = set(contents.values())
    # Only files of equal size can have equal content, so few are read.
    return [path for path in paths if _exists(path) and _size(path) in sizes and _digest(path) in contents]


def _exists(path: str) -> bool:
    return is_address(path) or os.path.isfile(path)


def _size(path: str) -> int:
    return len(path) if is_address(path) else os.stat(path).st_size


def _digest(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest() if is_address(path) else sha256(Path(path))
