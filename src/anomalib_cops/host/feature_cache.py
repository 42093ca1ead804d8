"""Features of the frozen encoder on disk, so that training runs it once per image and not once per epoch.

The store is LMDB: an entry is there whole or not at all, whenever a process is killed, and any number of processes read
while one writes. So runs at the same time, and the ranks of one run, share what each of them has computed.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from safetensors.torch import load, save
from torch import Tensor
from torchvision.transforms.v2 import Resize

from anomalib_cops.data.synthetic.addresses import is_address
from anomalib_cops.encoder import FrozenCLIP, ImageFeatures, ImageTokens
from anomalib_cops.errors import InputError

GIGABYTE = 10**9
FORMAT = "anomalib-cops features 1"

Features: TypeAlias = ImageFeatures | ImageTokens


@dataclass(frozen=True)
class CacheOptions:
    """What the user decides about the cache; also arguments of all models.

    Attributes:
        feature_cache: folder where training keeps what the frozen encoder says of each image, so that the encoder runs
            once per image. It is made if missing; runs and methods may share one; "~" is the user's home. None by
            default.
        cache_max_gb: size that this folder may reach, in 10^9 bytes.
        cache_precision: of the features in it.

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
    """Features by image, for one encoder and one way through it.

    Args:
        options: where and how large.
        encode: images → features; it is frozen.
        kind: of the features.
        identity: all that decides on an image's features besides its file.
        expected: images that will be asked for; before the first is encoded there must be room for all.
        dtype: of the features that are given out; under autocast that of the model's parameters.

    Raises:
        InputError: LMDB is not installed, or the folder cannot be used.
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
        self._identity = f"{FORMAT} {options.cache_precision} {identity}".encode()
        self._expected = list(expected)
        self._has_room = False
        self._environment = _open(options)

    def close(self) -> None:
        """Let go of the files; nothing is lost without."""
        self._environment.close()

    @torch.no_grad()
    def __call__(self, images: Float[Tensor, "batch 3 height width"], paths: Sequence[str]) -> Features:
        """Features of a batch in the model's precision: read where they are known, else computed and written.

        What is written is what this call returns and later ones read, so the first epoch is like all others.

        Args:
            images: as the model takes them.
            paths: of the image files, in the same order; or addresses of synthetic pictures.

        Raises:
            InputError: the cache or the disk is too small, or features do not fit the precision.
        """
        keys = [self._key(path) for path in paths]
        with self._environment.begin() as transaction:
            entries = [transaction.get(key) for key in keys]
        missing = [row for row, entry in enumerate(entries) if entry is None]
        if missing:
            features = self._encode(images[missing])
            made = [save(self._entry(features, at, paths[row])) for at, row in enumerate(missing)]
            self._write({keys[row]: entry for row, entry in zip(missing, made, strict=True)})
            for row, entry in zip(missing, made, strict=True):
                entries[row] = entry
        read = [load(entry) for entry in entries]
        # Under autocast to bfloat16, torch does not join float16.
        with torch.autocast(images.device.type, enabled=False):
            cls = torch.stack([entry["cls"] for entry in read])
            patches = torch.stack([entry["patches"] for entry in read], dim=1)
        return self._kind(cls.to(images.device, self._dtype), patches.to(images.device, self._dtype))

    def _key(self, path: str) -> bytes:
        """Of an image: another one for another encoder, another file, or a file that was written to."""
        content: tuple[Any, ...] = (str(path),)
        if not is_address(str(path)):
            status = os.stat(path)
            content = (os.path.realpath(path), status.st_mtime_ns, status.st_size)
        return hashlib.sha256(self._identity + repr(content).encode()).digest()

    def _entry(self, features: Features, row: int, path: str) -> dict[str, Tensor]:
        dtype = getattr(torch, self.options.cache_precision)
        entry = {"cls": features.cls[row], "patches": features.patches[:, row]}
        entry = {name: value.to("cpu", dtype).contiguous() for name, value in entry.items()}
        if not all(torch.isfinite(value).all() for value in entry.values()):
            raise InputError(
                f"The features of {path} do not fit {self.options.cache_precision}; set cache_precision=float32."
            )
        return entry

    def _write(self, entries: Mapping[bytes, bytes]) -> None:
        import lmdb

        if not self._has_room:
            self._check_room(len(next(iter(entries.values()))))
        try:
            with self._environment.begin(write=True) as transaction:
                for key, entry in entries.items():
                    transaction.put(key, entry)
        except lmdb.MapFullError:
            raise InputError(
                f"The feature cache {self.options.folder} has reached cache_max_gb={self.options.cache_max_gb:g}; "
                "raise it, delete the folder, or train without feature_cache."
            ) from None
        except (lmdb.DiskError, OSError) as error:
            raise InputError(f"The feature cache {self.options.folder} cannot be written ({error}).") from None

    def _check_room(self, size: int) -> None:
        """Refuse a cache or a disk that cannot hold all images before hours have gone into the first of them."""
        page = self._environment.stat()["psize"]
        with self._environment.begin() as transaction:
            # An entry lies on pages of its own; the tree above them is small.
            lacking = sum(transaction.get(self._key(path)) is None for path in self._expected)
        need = lacking * (size // page + 1) * page
        used = self._environment.info()["last_pgno"] * page
        free = shutil.disk_usage(self.options.folder).free
        for room, owner in (
            (self.options.cache_max_gb * GIGABYTE - used, f"cache_max_gb={self.options.cache_max_gb:g} leaves"),
            (free, "the disk has"),
        ):
            if need > room:
                raise InputError(
                    f"The features of {lacking} images need {need / GIGABYTE:.3g} GB in {self.options.folder}, and "
                    f"{owner} {max(room, 0) / GIGABYTE:.3g}; make room, or train without feature_cache."
                )
        self._has_room = True


def encoder_digest(clip: FrozenCLIP) -> str:
    """What identifies the image tower: its weights, its positions at this image size, and its activation."""
    visual = clip.model.visual
    digest = hashlib.sha256(repr(visual.transformer.resblocks[0].mlp).encode())
    for name, value in (*visual.state_dict().items(), ("positions", clip.positions)):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def paths_of_files(loaders: Any) -> list[str]:
    """Paths of all images that loaders of anomalib's data sets will give.

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


def _open(options: CacheOptions) -> Any:
    try:
        import lmdb
    except ImportError:
        raise InputError("feature_cache needs LMDB: pip install 'anomalib-cops[cache]'.") from None
    try:
        os.makedirs(options.folder, exist_ok=True)
        # Entries are read at random and once per epoch, so reading ahead would only push others out of memory.
        return lmdb.open(options.folder, map_size=int(options.cache_max_gb * GIGABYTE), readahead=False, meminit=False)
    except (lmdb.Error, OSError) as error:
        raise InputError(f"The feature cache {options.folder} cannot be used ({error}).") from None
