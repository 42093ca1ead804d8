"""Data sets prepared for the official repositories: a ``meta.json`` that lists every image."""

import json
from pathlib import Path
from typing import Any

from pandas import DataFrame

from anomalib_cops.data.sets.index import load_or_list
from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.samples import (
    MaskUse,
    SampleRow,
    anomalous_row,
    normal_row,
    require_complete,
    sample_table,
)
from anomalib_cops.errors import InputError
from anomalib_cops.images.reading import IMAGE_SUFFIXES

PREFIX = "meta:"
_FORM = '{"test": {category: [{"img_path": ..., "mask_path": ..., "specie_name": ..., "anomaly": 0 or 1}]}}'


class MetaSet:
    """The labelled (test) part of a data set in a file, as AnomalyCLIP, AdaCLIP, VCP-CLIP and CoPS read it.

    Args:
        path: The file, or the folder that contains it as ``meta.json``. Paths in it are relative to its folder.

    Raises:
        InputError: There is no such file, or its content has another form.
    """

    has_mask_rule = False

    def __init__(self, path: Path) -> None:
        path = path / "meta.json" if path.is_dir() else path
        self.path = path.absolute()
        self.name = self.path.parent.name
        self.identity = str(self.path.resolve().parent)
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{path} cannot be read as JSON ({reason}); expected is {_FORM}.") from None
        splits = {str(key).lower(): value for key, value in content.items()} if isinstance(content, dict) else {}
        entries = splits.get("test")
        if not isinstance(entries, dict) or not entries:
            raise InputError(f"{path} has no categories under 'test'; expected is {_FORM}.")
        self._entries: dict[str, list[Any]] = entries
        self.categories = tuple(entries)

    def find_samples(self, category: str, listing: Listing) -> DataFrame:
        """Return the table of a category, which may be incomplete.

        Raises:
            InputError: An entry lacks something, or its file does not exist.
        """
        listing.note(self.path)
        rows = [self._row(entry, category, listing) for entry in self._entries[category]]
        masked = any(row.mask_path for row in rows)
        return sample_table(rows, name=self.name, category=category, masked=masked, mask_above=0)

    def samples(self, category: str, masks: MaskUse | None = None) -> DataFrame:
        """List a category: one row per image, as ``LabelledImages`` takes them.

        Args:
            category: Name of the category.
            masks: Masks that a training uses; None for a target, which needs all of its masks.

        Raises:
            InputError: An entry cannot be used, or masks of some anomalous images are missing.
        """
        samples = load_or_list(self.path, self.name, category, lambda listing: self.find_samples(category, listing))
        return require_complete(
            samples, f"{self.path}, {category},", labels=(1,), expected="entries with anomaly 1", masks=masks
        )

    def _row(self, entry: Any, category: str, listing: Listing) -> SampleRow:
        try:
            image, mask = self._file(entry["img_path"], listing), entry.get("mask_path") or ""
            # The authors' scripts write the path of the folder if there is no mask.
            found = self._file(mask, listing) if mask and not (self.path.parent / mask).is_dir() else None
            if int(entry["anomaly"]):
                return anomalous_row(image, str(entry.get("specie_name") or "anomalous"), found)
            return normal_row(image, found)
        except InputError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError):
            raise InputError(
                f"an entry of {category} in {self.path} cannot be used: {entry}; expected is {_FORM}."
            ) from None

    def _file(self, name: str, listing: Listing) -> Path:
        path = self.path.parent / name
        if path.is_file() and not path.name.lower().endswith(IMAGE_SUFFIXES):
            expected = ", ".join(IMAGE_SUFFIXES)
            raise InputError(f"{self.path} names {path}, which is no image; expected are {expected} files.")
        if not path.parent.is_dir() or path.name not in listing.contents(path.parent).by_name:
            raise InputError(f"{self.path} names {path}, which does not exist; make the list again where the data are.")
        return path
