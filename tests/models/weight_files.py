"""Make weight files with other headers, and data sets that weights may have been trained on."""

import shutil
from pathlib import Path

import numpy as np
from anomalib.data import MVTecAD
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from anomalib_cops import ZeroShotTransfer


def header(path: Path) -> dict[str, str]:
    """Return the header of a weight file."""
    with safe_open(path, framework="pt") as opened:
        return dict(opened.metadata())


def with_header(path: Path, target: Path, **changes: str | None) -> str:
    """Copy a weight file with other entries in its header."""
    metadata = {**header(path), **changes}
    save_file(load_file(path), target, metadata={name: value for name, value in metadata.items() if value is not None})
    return str(target)


def mvtec_bottle(folder: Path) -> MVTecAD:
    """Return anomalib's datamodule of MVTec AD, with one small category."""
    _draw_bottles(folder / "MVTecAD" / "bottle")
    return MVTecAD(root=folder / "MVTecAD", category="bottle", num_workers=0)


def copied_folder(folder: Path) -> ZeroShotTransfer:
    """Return data to test on ``second``, a copy of the data set folder ``first``; both are drawn here."""
    _draw_bottles(folder / "first")
    shutil.copytree(folder / "first", folder / "second")
    return ZeroShotTransfer(target=str(folder / "second"), num_workers=0)


def _draw_bottles(root: Path) -> None:
    for part in ("train/good", "test/good", "test/hole", "ground_truth/hole"):
        (root / part).mkdir(parents=True)
        for index in range(3):
            name = f"{index}_mask.png" if part.startswith("ground") else f"{index}.png"
            levels = np.full((32, 32), 255 if part.startswith("ground") else 90 + index, np.uint8)
            Image.fromarray(levels).save(root / part / name)
