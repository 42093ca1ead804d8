"""Keep features of the frozen encoder on disk, so that training runs it once per image and not once per epoch.

Each image has a file of its own, which appears complete or not at all. So simultaneous runs, and the ranks of one run,
share their features, and a killed process leaves nothing broken.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.transforms.v2 import Resize

from anomalib_cops.data.synthetic.addresses import is_address
from anomalib_cops.encoder import ImageFeatures, ImageTokens
from anomalib_cops.errors import InputError
from anomalib_cops.weights.format import write_tensors

GIGABYTE = 10**9
FORMAT = "anomalib-cops features 2"
HEADER_BYTES = 256
"""Of a file besides its tensors, about."""

Features: TypeAlias = ImageFeatures | ImageTokens


@dataclass(frozen=True)
class CacheOptions:
    """Hold the arguments of all models that concern the cache.

    Attributes:
        feature_cache: folder where training keeps the features of each image, so that the encoder runs once per image.
            It is made if missing; runs and methods may share it. Not used by default.
        cache_max_gb: largest size of this folder, in 10^9 bytes.
        cache_precision: precision of the features in it.

    Raises:
        InputError: ``cache_max_gb`` is not positive, or the precision is none of the two.
    """

    feature_cache: str | None = None
    cache_max_gb: float = 100.0
    cache_precision: Literal["float16", "float32"] = "float16"

    def __post_init__(self) -> None:
        """Check the values where a cache is wanted."""
        if not self.feature_cache:
            return
        if self.cache_max_gb <= 0:
            raise InputError(
                f"cache_max_gb={self.cache_max_gb} must be more than 0; leave feature_cache out for no cache."
            )
        if self.cache_precision not in ("float16", "float32"):
            raise InputError(f"cache_precision='{self.cache_precision}' must be float16 or float32.")

    @property
    def folder(self) -> str:
        """The folder with the user's home spelled out."""
        return os.path.expanduser(self.feature_cache or "")


class FeatureCache:
    """Keep the features of images for one encoder and one way through it.

    Args:
        options: folder, size and precision.
        encode: computes the features of images (batch 3 height width); it is frozen.
        kind: type of the features.
        identity: everything that decides on the features of an image besides its file.
        expected: paths of all images that will be asked for. There must be room for all before the first is encoded.
        dtype: precision of the features returned; under autocast that of the model's parameters.

    Raises:
        InputError: the folder cannot be used.
    """

    def __init__(
        self,
        options: CacheOptions,
        encode: Callable[[Tensor], Features],
        kind: type[Features],
        identity: str,
        expected: Iterable[str] = (),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.options = options
        self._encode = encode
        self._kind = kind
        self._dtype = dtype
        self._identity = f"{FORMAT} {options.cache_precision} {identity}"
        self._expected = list(expected)
        self._folder = Path(options.folder)
        self._bytes = _size_of(self._folder)
        self._has_room = False

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "batch 3 height width"], paths: Sequence[str]) -> Features:
        """Return the features of a batch: read those that are kept, compute and keep the others.

        What is kept is what this call returns and later calls read, so the first epoch is like all others.

        Args:
            images: as the model takes them.
            paths: of the image files in the same order, or addresses of synthetic pictures.

        Raises:
            InputError: the cache or the disk is too small, or features do not fit the precision.
        """
        files = [self._file(path) for path in paths]
        entries = [_read(file) for file in files]
        missing = [row for row, entry in enumerate(entries) if entry is None]
        if missing:
            features = self._encode(images[missing])
            for at, row in enumerate(missing):
                entries[row] = entry = self._entry(features, at, paths[row])
                self._write(files[row], entry)
        # Under autocast to bfloat16, torch does not join float16.
        with torch.autocast(images.device.type, enabled=False):
            cls = torch.stack([entry["cls"] for entry in entries if entry])
            patches = torch.stack([entry["patches"] for entry in entries if entry], dim=1)
        return self._kind(cls.to(images.device, self._dtype), patches.to(images.device, self._dtype))

    def _file(self, path: str) -> Path:
        """Return where an image's features are: elsewhere for another encoder or file, or once the file has changed."""
        content: tuple[Any, ...] = (str(path),)
        if not is_address(str(path)):
            status = os.stat(path)
            content = (os.path.realpath(path), status.st_mtime_ns, status.st_size)
        key = hashlib.sha256((self._identity + repr(content)).encode()).hexdigest()
        return self._folder / key[:2] / f"{key}.safetensors"

    def _entry(self, features: Features, row: int, path: str) -> dict[str, Tensor]:
        """Return the features of one image of a batch in the precision that they are kept in."""
        dtype = getattr(torch, self.options.cache_precision)
        entry = {"cls": features.cls[row], "patches": features.patches[:, row]}
        entry = {name: value.to("cpu", dtype).contiguous() for name, value in entry.items()}
        if not all(torch.isfinite(value).all() for value in entry.values()):
            raise InputError(
                f"The features of {path} do not fit {self.options.cache_precision}; set cache_precision=float32."
            )
        return entry

    def _write(self, file: Path, entry: dict[str, Tensor]) -> None:
        """Keep an entry; it appears complete or not at all."""
        size = sum(value.nbytes for value in entry.values()) + HEADER_BYTES
        if not self._has_room:
            self._check_room(size)
        if self._bytes + size > self.options.cache_max_gb * GIGABYTE:
            raise InputError(
                f"The feature cache {self._folder} has reached cache_max_gb={self.options.cache_max_gb:g}; raise it, "
                "delete the folder, or train without feature_cache."
            )
        try:
            write_tensors(file, entry)
        except (SafetensorError, OSError) as error:
            raise InputError(f"The feature cache {self._folder} cannot be written ({error}).") from None
        self._bytes += size

    def _check_room(self, size: int) -> None:
        """Refuse a cache or a disk that cannot hold all images, before hours go into the first of them."""
        lacking = sum(not self._file(path).is_file() for path in self._expected)
        need = lacking * size
        for room, owner in (
            (self.options.cache_max_gb * GIGABYTE - self._bytes, f"cache_max_gb={self.options.cache_max_gb:g} leaves"),
            (shutil.disk_usage(self._folder).free, "the disk has"),
        ):
            if need > room:
                raise InputError(
                    f"The features of {lacking} images need {need / GIGABYTE:.3g} GB in {self._folder}, and "
                    f"{owner} {max(room, 0) / GIGABYTE:.3g}; make room, or train without feature_cache."
                )
        self._has_room = True


def features_of(module: Any, options: CacheOptions, precision: str, paths: Iterable[str]) -> FeatureCache:
    """Open the cache of the features that a model computes of images.

    Args:
        module: the Lightning module. Its encoder, taps and pre-processor tell its features from others of the same
            files.
        options: folder and size of the cache.
        precision: the Trainer's name of the precision in which they are computed.
        paths: files of all images.

    Raises:
        InputError: the cache cannot be used.
    """
    return FeatureCache(
        options,
        module.model.encode,
        module.model.frozen_features,
        # A pre-processor of the user's own makes other images of the same files.
        # OpenVINO's features differ from torch's in the last digits.
        f"{module.clip.image.digest()} {module.model.taps} {precision} {module.pre_processor}"
        f"{'' if module.clip.graphs is None else ' openvino'}",
        paths,
        module.clip.dtype,
    )


def paths_of_files(loaders: Any) -> list[str]:
    """List the paths of all images that loaders of anomalib's data sets will read.

    Raises:
        InputError: the images will be augmented, or the data does not name its files.
    """
    paths: list[str] = []
    for loader in loaders if isinstance(loaders, (list, tuple)) else [loaders]:
        if isinstance(loader, (list, tuple)):
            paths += paths_of_files(loader)
        elif loader is not None:
            data = loader.dataset
            # The host appends the model's own resizing, which alone is no augmentation.
            if not isinstance(getattr(data, "augmentations", None), Resize | None):
                raise InputError(
                    "Augmented images are new in every epoch, so their features cannot be cached; leave out "
                    "feature_cache or the augmentations."
                )
            if "image_path" not in getattr(getattr(data, "samples", None), "columns", ()):
                raise InputError(
                    f"{type(data).__name__} does not list the files of its images, by which features are cached; "
                    "leave feature_cache out, or use a data set of anomalib."
                )
            paths += data.samples["image_path"].tolist()
    return paths


def _read(file: Path) -> dict[str, Tensor] | None:
    """Read an entry; None if there is none, or none that can be read."""
    try:
        return load_file(file)
    except (FileNotFoundError, SafetensorError):
        return None


def _size_of(folder: Path) -> int:
    """Make the folder if it is missing, and return the bytes of all entries in it.

    Raises:
        InputError: it cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return sum(file.stat().st_size for file in folder.glob("*/*.safetensors"))
    except OSError as error:
        raise InputError(f"The feature cache {folder} cannot be used ({error}).") from None
