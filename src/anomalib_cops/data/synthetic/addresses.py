"""Addresses of synthetic pictures: path-like texts from which a picture can be drawn at any time.

A table of samples lists a synthetic picture by its address where other images have a file. Code that can only open
files gets the picture from ``write_picture``.
"""

import re
import tempfile
import zlib
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from anomalib_cops.data.synthetic.drawing import draw
from anomalib_cops.errors import InputError
from anomalib_cops.files import replacing

_FORM = "synthetic/<size>px-seed<seed>[-<level>]/<category>/<kind>/<index>.png"
_ADDRESS = re.compile(
    r"synthetic/(?P<size>\d+)px-seed(?P<seed>\d+)(-(?P<level>\w+))?"
    r"/(?P<category>\w+)/(?P<kind>\w+)/(?P<index>\d+)\.png",
    re.ASCII,
)
_CACHE_FOLDERS = ("anomalib_cops", "pictures")


def is_address(path: str) -> bool:
    """Tell whether a path is the address of a synthetic picture and not a file."""
    return path.startswith("synthetic") and _ADDRESS.fullmatch(PurePosixPath(path).as_posix()) is not None


def draw_address(path: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Draw the picture of an address and its mask.

    Returns:
        RGB levels of shape (height, width, 3), and the anomalous pixels of shape (height, width).

    Raises:
        InputError: The path is not an address, or the picture cannot be drawn.
    """
    match = _ADDRESS.fullmatch(PurePosixPath(path).as_posix())
    if match is None:
        raise InputError(f"{path} is not the address of a synthetic picture; it has the form {_FORM}.")
    anomalous = match["kind"] != "good"
    sample = draw(
        match["category"],
        int(match["index"]),
        seed=int(match["seed"]),
        anomalous=anomalous,
        size=int(match["size"]),
        defect=match["kind"] if anomalous else None,
        level=match["level"] or "mixed",
    )
    return sample.image, sample.mask


def write_picture(address: str, levels: npt.NDArray[np.uint8], home: str) -> str:
    """Write a synthetic picture as a PNG file, unless it is there already.

    The file is kept in torch.hub's cache folder, or in the folder for temporary files where the cache cannot be
    written to. Equal pictures are kept once, in a folder named by their content.

    Args:
        address: Address of the picture; the path of the file ends in it.
        levels: RGB levels of shape (height, width, 3).
        home: Name of the folder right above the address. anomalib's own visualizer names result pictures by the part
            of the path that follows the name of the datamodule.

    Returns:
        The path of the file.

    Raises:
        InputError: Neither folder can be written to.
    """
    place = Path(*_CACHE_FOLDERS, f"{zlib.crc32(levels.tobytes()):08x}", home, address)
    for cache in (torch.hub.get_dir(), tempfile.gettempdir()):
        path = cache / place
        try:
            if not path.is_file():
                with replacing(path) as unfinished:
                    Image.fromarray(levels).save(unfinished, format="png")
        except OSError:
            continue
        return str(path)
    raise InputError(
        f"synthetic pictures cannot be written to {torch.hub.get_dir()}, where a visualizer would open them; set "
        "TORCH_HOME to a folder that can be written to."
    )


def address_of(path: str) -> str:
    """Return the address of a picture that ``write_picture`` wrote, and any other path unchanged."""
    parts = PurePath(path).parts
    length = len(PurePosixPath(_FORM).parts)
    is_written = parts[-length - 4 : -length - 2] == _CACHE_FOLDERS
    return PurePosixPath(*parts[-length:]).as_posix() if is_written else path
