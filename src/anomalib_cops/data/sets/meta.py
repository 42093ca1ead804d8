"""Data sets prepared for the authors' repositories: a ``meta.json`` that lists every image."""

import json
from pathlib import Path
from typing import Any

from pandas import DataFrame

from anomalib_cops.data.images import IMAGE_SUFFIXES
from anomalib_cops.data.sets.index import load_or_list
from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.samples import Row, anomalous, complete, normal, table
from anomalib_cops.errors import InputError

PREFIX = "meta:"
_FORM = '{"test": {category: [{"img_path": ..., "mask_path": ..., "specie_name": ..., "anomaly": 0 or 1}]}}'


class MetaSet:
    """The labelled (test) part of a data set that a file lists, as AnomalyCLIP, AdaCLIP, VCP-CLIP and CoPS read it.

    Args:
        path: The file, or the folder in which it is called ``meta.json``. Paths in it are relative to its folder.

    Raises:
        InputError: There is no such file, or it does not hold what it should.
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

    def listed(self, category: str, listing: Listing) -> DataFrame:
        """What there is of a category, complete or not.

        Raises:
            InputError: An entry lacks something, or its file does not exist.
        """
        listing.note(self.path)
        rows = [self._row(entry, category, listing) for entry in self._entries[category]]
        masked = any(row.mask_path for row in rows)
        return table(rows, name=self.name, category=category, masked=masked, mask_above=0)

    def samples(self, category: str) -> DataFrame:
        """Lists one category: a row per image, as ``LabelledImages`` takes them.

        Raises:
            InputError: An entry cannot be used, or masks of some anomalous images are missing.
        """
        samples = load_or_list(self.path, self.name, category, lambda listing: self.listed(category, listing))
        return complete(samples, f"{self.path}, {category},", labels=(1,), expected="entries with anomaly 1")

    def _row(self, entry: Any, category: str, listing: Listing) -> Row:
        try:
            image, mask = self._file(entry["img_path"], listing), entry.get("mask_path") or ""
            # The authors' writers leave the folder's own path where there is no mask.
            found = self._file(mask, listing) if mask and not (self.path.parent / mask).is_dir() else None
            if int(entry["anomaly"]):
                return anomalous(image, str(entry.get("specie_name") or "anomalous"), found)
            return normal(image, found)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"an entry of {category} in {self.path} cannot be used: {entry}; expected is {_FORM}."
            ) from None

    def _file(self, name: str, listing: Listing) -> Path:
        path = self.path.parent / name
        if path.is_file() and not path.name.lower().endswith(IMAGE_SUFFIXES):
            raise InputError(
                f"{self.path} names {path}, which is no image; expected are {', '.join(IMAGE_SUFFIXES)} files."
            )
        if not path.parent.is_dir() or path.name not in listing.look(path.parent).names:
            raise InputError(f"{self.path} names {path}, which does not exist; make the list again where the data are.")
        return path
