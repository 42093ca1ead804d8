"""Files that data sets of any kind list."""

from typing import Any


def listed_images(loaders: object) -> list[str]:
    """Return the files of the data sets behind loaders, as far as :func:`images_of` knows them."""
    each = loaders if isinstance(loaders, (list, tuple)) else [loaders]
    return [path for loader in each for path in images_of(getattr(loader, "dataset", None))]


def images_of(dataset: object) -> list[str]:
    """Return the files of a data set, if it lists them in ``samples`` or ``image_filenames``."""
    samples: Any = getattr(dataset, "samples", None)
    if "image_path" in getattr(samples, "columns", ()):
        return list(map(str, samples["image_path"]))
    return list(map(str, getattr(dataset, "image_filenames", ())))
