"""The synthetic world as a data set: every picture has a path-like address and is drawn when it is asked for."""

import os
import re
import tempfile
import threading
import zlib
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch
from pandas import DataFrame
from PIL import Image

from anomalib_cops.data import synthetic
from anomalib_cops.errors import InputError, nearest

_FORM = "synthetic/<size>px-seed<seed>[-<level>]/<category>/<kind>/<index>.png"
_ADDRESS = re.compile(
    r"synthetic/(?P<size>\d+)px-seed(?P<seed>\d+)(-(?P<level>\w+))?"
    r"/(?P<category>\w+)/(?P<kind>\w+)/(?P<index>\d+)\.png",
    re.ASCII,
)

_FILES = ("anomalib_cops", "pictures")


class SyntheticSet:
    """The synthetic world, as many pictures of it as asked for.

    Half of a category's pictures are good; the defects take turns. No picture is used twice: a defect is never shown
    on a product that is also there without it.

    Args:
        count: Pictures per category, at least 4.
        size: Side of a picture in pixels.
        seed: Which world.
        level: How much the defects stand out, one of ``synthetic.LEVELS``.

    Raises:
        InputError: Too few pictures, or an unknown level.
    """

    name = "synthetic"
    identity = "synthetic"
    has_mask_rule = True
    categories = synthetic.CATEGORIES

    def __init__(self, count: int, size: int, seed: int, level: str = "mixed") -> None:
        if count < 4:
            raise InputError(f"synthetic_samples={count} is too few; at least 4 per category are needed.")
        if level not in synthetic.LEVELS:
            raise InputError(f"unknown level {level!r} of the synthetic world{nearest(level, synthetic.LEVELS)}")
        self.count = count
        self.folder = f"synthetic/{size}px-seed{seed}" + (f"-{level}" if level != "mixed" else "")

    def samples(self, category: str) -> DataFrame:
        """Lists one category: a row per picture, as ``LabelledImages`` takes them."""
        good = (self.count + 1) // 2
        defects = synthetic.defects_of(category)
        labels = ["good"] * good + [defects[index % len(defects)] for index in range(self.count - good)]
        rows = [
            (f"{self.folder}/{category}/{label}/{index:06d}.png", label, int(label != "good"))
            for index, label in enumerate(labels)
        ]
        samples = DataFrame(rows, columns=["image_path", "label", "label_index"])
        return samples.assign(mask_path="", set=self.name, category=category, masked=True)


def is_address(path: str) -> bool:
    """Whether this is the address of a synthetic picture, not a file."""
    return path.startswith("synthetic") and _ADDRESS.fullmatch(PurePosixPath(path).as_posix()) is not None


def draw_address(path: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Draws the picture of an address; its mask too.

    Returns:
        RGB levels of shape (height, width, 3), and the anomalous pixels of shape (height, width).

    Raises:
        InputError: It is not an address, or what it asks for cannot be drawn.
    """
    match = _ADDRESS.fullmatch(PurePosixPath(path).as_posix())
    if match is None:
        raise InputError(f"{path} is not the address of a synthetic picture; it has the form {_FORM}.")
    anomalous = match["kind"] != "good"
    sample = synthetic.draw(
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
    """Writes a synthetic picture as a PNG file, if it is not there yet, for those who open files.

    Files are kept beside what torch.hub downloads, or where that cannot be written to, in the folder for temporary
    files. Equal pictures are kept once, in a folder named by their content.

    Args:
        address: Of the picture; the file's path ends in it.
        levels: RGB levels of shape (height, width, 3).
        home: A folder right above the address. anomalib's own visualizer names pictures of results by what follows
            the name of the datamodule.

    Returns:
        The path of the file.

    Raises:
        InputError: It can be written to neither place.
    """
    place = Path(*_FILES, f"{zlib.crc32(levels.tobytes()):08x}", home, address)
    for cache in (torch.hub.get_dir(), tempfile.gettempdir()):
        path = cache / place
        unfinished = path.with_name(f".{os.getpid()}-{threading.get_ident()}.{path.name}")
        try:
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(levels).save(unfinished, format="png")
                os.replace(unfinished, path)
        except OSError:
            continue
        return str(path)
    raise InputError(
        f"synthetic pictures cannot be written to {torch.hub.get_dir()}, where a visualizer would open them; set "
        "TORCH_HOME to a folder that can be written to."
    )


def address_of(path: str) -> str:
    """The address of a picture that ``write_picture`` wrote; any other path as it is."""
    parts = PurePath(path).parts
    length = len(PurePosixPath(_FORM).parts)
    is_written = parts[-length - 4 : -length - 2] == _FILES
    return PurePosixPath(*parts[-length:]).as_posix() if is_written else path
