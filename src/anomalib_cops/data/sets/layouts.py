"""Layouts of data sets in their folders, as declarations from which images are found and pages are written."""

import re
from dataclasses import dataclass
from fnmatch import fnmatch
from inspect import signature
from pathlib import Path

import pandas as pd
from anomalib.data.datasets import AnomalibDataset
from anomalib.data.utils import Split

from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.samples import MASK_ENDINGS, SampleRow, anomalous_row, normal_row
from anomalib_cops.errors import InputError


@dataclass(frozen=True)
class PatternLayout:
    """Layout in which patterns of paths describe images and masks.

    A pattern has parts divided by ``/``. ``{category}`` stands for the name of the category, ``{kind}`` for any name,
    which becomes the kind of defect, and ``*`` for anything; the last part of ``normal`` and ``anomalous`` describes
    the image files. An image that both patterns describe is normal; if the patterns are equal, an image is anomalous if
    it has a mask.

    Attributes:
        anomalous: Pattern of anomalous images.
        normal: Pattern of normal images; empty if there are none.
        mask: Pattern of the mask of an image, with ``{stem}`` for the name of the image without suffix; empty if there
            are no masks. Without a suffix it stands for any suffix, and if the name is ``{stem}`` alone, the file may
            have one of ``MASK_ENDINGS``.
    """

    anomalous: str
    normal: str = ""
    mask: str = ""

    def read(self, folder: Path, category: str, listing: Listing) -> list[SampleRow]:
        """Return the rows of a category; empty if nothing is there."""
        good = dict(_find(folder, _fill(self.normal, category), listing)) if self.normal else {}
        bad = dict(_find(folder, _fill(self.anomalous, category), listing))
        masks = {image: self._mask(folder, category, image, kind, listing) for image, kind in bad.items()}
        if self.normal == self.anomalous:
            rows = [normal_row(image) for image, mask in masks.items() if not mask]
            rows += [anomalous_row(image, bad[image] or "anomalous", mask) for image, mask in masks.items() if mask]
            return rows
        # Some data sets have empty masks of normal images. They are listed, for the check of a data set, if they cannot
        # be mistaken for masks of anomalous images.
        listed = "{kind}" in self.mask
        rows = [
            normal_row(image, self._mask(folder, category, image, image.parent.name, listing) if listed else None)
            for image in good
        ]
        rows += [
            anomalous_row(image, kind or "anomalous", masks[image]) for image, kind in bad.items() if image not in good
        ]
        return rows

    def present(self, folder: Path, category: str, listing: Listing) -> bool:
        """Tell whether anything of a category is there."""
        return bool(self.read(folder, category, listing))

    def _mask(self, folder: Path, category: str, image: Path, kind: str, listing: Listing) -> Path | None:
        if not self.mask:
            return None
        *parts, name = _fill(self.mask, category).replace("{kind}", kind).split("/")
        place: Path | None = folder
        for part in parts:
            place = listing.contents(place).folders.get(part.casefold()) if place else None
        if place is None:
            return None
        inside = listing.contents(place)
        if "." in name:
            return inside.by_name.get(name.replace("{stem}", image.stem))
        endings = MASK_ENDINGS if name == "{stem}" else ("",)
        stems = (name.replace("{stem}", image.stem) + ending for ending in endings)
        return next((inside.by_stem[stem] for stem in stems if stem in inside.by_stem), None)


@dataclass(frozen=True)
class TableLayout:
    """Layout in which a table with a header lists images and labels.

    Attributes:
        file: Path of the table, a comma-separated file.
        image: Path of an image, with names of columns in braces, as for ``str.format``.
        label: Name of the column of labels, and the value that means anomalous.
        mask: Path of the mask, like ``image``; empty if there are no masks.
        where: Names of columns and the values that they have in the rows to use; ``{category}`` stands for the name of
            the category.
    """

    file: str
    image: str
    label: tuple[str, str]
    mask: str = ""
    where: tuple[tuple[str, str], ...] = ()

    def read(self, folder: Path, category: str, listing: Listing) -> list[SampleRow]:
        """Return the rows of a category; empty if the table or the folder of images is missing.

        Raises:
            InputError: The table cannot be read or lacks a column, or files that it names are missing.
        """
        path = folder / self.file
        if not path.is_file():
            return []
        listing.note(path)
        try:
            entries = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
        except (ValueError, OSError) as error:
            raise InputError(f"{path} cannot be read as a table: {error}; copy it again.") from None
        column, value = self.label
        for name in (column, *(name for name, _ in self.where)):
            if name not in entries:
                raise InputError(f"{path} has no column '{name}', only {', '.join(entries)}; copy it again.")
        for name, wanted in self.where:
            entries = entries[entries[name] == _fill(wanted, category)]
        if not len(entries) or not (folder / self.image.split("{")[0]).is_dir():
            return []
        rows = []
        for entry in entries.to_dict("records"):
            image, mask = folder / self.image.format(**entry), self.mask.format(**entry)
            if entry[column] == value:
                rows.append(anomalous_row(image, "anomalous", folder / mask if mask else None))
            else:
                rows.append(normal_row(image))
        for file in (path for row in rows for path in (row.image_path, row.mask_path) if path):
            if Path(file).name not in listing.contents(Path(file).parent).by_name:
                raise InputError(f"{path} names {file}, which does not exist; copy the data set again.")
        return rows

    def present(self, folder: Path, category: str, listing: Listing) -> bool:
        """Tell whether anything of a category is there; raise errors as ``read`` does."""
        return bool(self.read(folder, category, listing))


@dataclass(frozen=True)
class AnomalibLayout:
    """Layout that one of anomalib's data sets reads.

    Attributes:
        dataset: anomalib's class.
        layout: The files that it reads.
        inside: Sub-folder of the data set's folder that the class takes as root; by default the folder itself.
    """

    dataset: type[AnomalibDataset]
    layout: PatternLayout
    inside: str = ""

    def read(self, folder: Path, category: str, listing: Listing) -> list[SampleRow]:
        """Return the rows of a category; empty if nothing is there.

        Raises:
            InputError: The files are not what anomalib expects.
        """
        if not self.present(folder, category, listing):
            return []
        folder = folder / self.inside
        try:
            takes = signature(self.dataset).parameters
            given = {"category": category} if "category" in takes else {}
            samples = self.dataset(root=folder, split=Split.TEST, **given).samples  # type: ignore[call-arg]
        except Exception as error:  # anomalib's readers raise errors of any kind on damaged folders
            raise InputError(f"{folder / category} cannot be read: {' '.join(str(error).split())}") from None
        masks = samples["mask_path"].fillna("").astype(str)
        kinds = samples.get("label", samples["label_index"].map({0: "good", 1: "anomalous"}))
        columns = (samples["image_path"], kinds, samples["label_index"], masks)
        return [
            anomalous_row(Path(image), kind, Path(mask) if mask else None) if index else normal_row(Path(image))
            for image, kind, index, mask in zip(*columns, strict=True)
        ]

    def present(self, folder: Path, category: str, listing: Listing) -> bool:
        """Tell whether anything of a category is there."""
        folder = folder / self.inside
        return folder.is_dir() and bool(self.layout.read(folder, category, listing))


Layout = PatternLayout | TableLayout | AnomalibLayout


def _fill(pattern: str, category: str) -> str:
    return pattern.replace("{category}", category)


def _find(folder: Path, pattern: str, listing: Listing) -> list[tuple[Path, str]]:
    """Return the files that a pattern describes, each with its ``{kind}``."""
    *parts, files = pattern.split("/")
    places = [(folder, "")]
    for part in parts:
        wanted = re.compile(re.escape(part).replace(r"\{kind\}", "(?P<kind>.+)").replace(r"\*", ".*"), re.IGNORECASE)
        places = [
            (child, match["kind"] if wanted.groups else kind)
            for place, kind in places
            for child in listing.contents(place).folders.values()
            if (match := wanted.fullmatch(child.name))
        ]
    return [
        (image, kind)
        for place, kind in places
        for image in listing.contents(place).images
        if fnmatch(image.name.casefold(), files.casefold())
    ]
