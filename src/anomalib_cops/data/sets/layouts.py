"""How a data set lies in its folder, as declarations that can be read, drawn as a tree, and built in miniature."""

import re
from dataclasses import dataclass
from fnmatch import fnmatch
from inspect import signature
from pathlib import Path

import pandas as pd
from anomalib.data.datasets import AnomalibDataset
from anomalib.data.utils import Split

from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.samples import MASK_ENDINGS, Row, anomalous, normal
from anomalib_cops.errors import InputError


@dataclass(frozen=True)
class PatternLayout:
    """Images and masks by the names of folders.

    Patterns have parts divided by ``/``. ``{category}`` is the category's name, ``{kind}`` any name, which becomes the
    kind of defect, ``*`` anything; the last part of ``normal`` and ``anomalous`` says which files are images. An image
    that both describe is normal; if both are the same, an image is anomalous if it has a mask.

    Attributes:
        anomalous: Where anomalous images are.
        normal: Where normal ones are; empty if there are none.
        mask: Path of an image's mask, with ``{stem}`` for the image's name without suffix; empty if there are none.
            Without a suffix of its own it may have any, and a plain ``{stem}`` may be followed by one of ``MASK_ENDINGS``.
    """

    anomalous: str
    normal: str = ""
    mask: str = ""

    def read(self, folder: Path, category: str, listing: Listing) -> list[Row]:
        """Rows of one category; empty if nothing is there."""
        good = dict(_find(folder, _of(self.normal, category), listing)) if self.normal else {}
        bad = dict(_find(folder, _of(self.anomalous, category), listing))
        masks = {image: self._mask(folder, category, image, kind, listing) for image, kind in bad.items()}
        decided = self.normal == self.anomalous
        # Masks of normal images are listed where they cannot be mistaken for those of anomalous ones: some sets have
        # empty ones, and a set's check says which are not.
        told = "{kind}" in self.mask and not decided
        rows = [
            normal(image, self._mask(folder, category, image, image.parent.name, listing) if told else None)
            for image in good
            if not (decided and masks[image])
        ]
        rows += [
            anomalous(image, kind or "anomalous", masks[image])
            for image, kind in bad.items()
            if (masks[image] if decided else image not in good)
        ]
        return rows

    def present(self, folder: Path, category: str, listing: Listing) -> bool:
        """Whether anything of a category is there."""
        return bool(self.read(folder, category, listing))

    def _mask(self, folder: Path, category: str, image: Path, kind: str, listing: Listing) -> Path | None:
        if not self.mask:
            return None
        *parts, name = _of(self.mask, category).replace("{kind}", kind).split("/")
        place: Path | None = folder
        for part in parts:
            place = listing.look(place).folders.get(part.casefold()) if place else None
        if place is None:
            return None
        inside = listing.look(place)
        if "." in name:
            return inside.names.get(name.replace("{stem}", image.stem))
        endings = MASK_ENDINGS if name == "{stem}" else ("",)
        stems = (name.replace("{stem}", image.stem) + ending for ending in endings)
        return next((inside.stems[stem] for stem in stems if stem in inside.stems), None)


@dataclass(frozen=True)
class TableLayout:
    """Images and labels in a table with a heading.

    Attributes:
        file: The table, comma-separated.
        image: Path of an image, with the columns' names in braces, as ``str.format`` takes them.
        label: Column of labels, and the value that means anomalous.
        mask: Path of its mask, like ``image``; empty if there are none.
        where: Columns and the values they have in the rows that count; ``{category}`` is the category's name.
    """

    file: str
    image: str
    label: tuple[str, str]
    mask: str = ""
    where: tuple[tuple[str, str], ...] = ()

    def read(self, folder: Path, category: str, listing: Listing) -> list[Row]:
        """Rows of one category; empty if the table or its images are not there.

        Raises:
            InputError: The table cannot be read or lacks a column, or images of it are missing.
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
            entries = entries[entries[name] == _of(wanted, category)]
        if not len(entries) or not (folder / self.image.split("{")[0]).is_dir():
            return []
        rows = []
        for entry in entries.to_dict("records"):
            image, mask = folder / self.image.format(**entry), self.mask.format(**entry)
            if entry[column] == value:
                rows.append(anomalous(image, "anomalous", folder / mask if mask else None))
            else:
                rows.append(normal(image))
        for file in (path for row in rows for path in (row.image_path, row.mask_path) if path):
            if Path(file).name not in listing.look(Path(file).parent).names:
                raise InputError(f"{path} names {file}, which does not exist; copy the data set again.")
        return rows

    def present(self, folder: Path, category: str, listing: Listing) -> bool:
        """Whether anything of a category is there; raises as ``read``."""
        return bool(self.read(folder, category, listing))


@dataclass(frozen=True)
class AnomalibLayout:
    """A layout that anomalib reads.

    Attributes:
        dataset: anomalib's class.
        layout: What it reads.
        inside: Folder below that of the data set where it begins.
    """

    dataset: type[AnomalibDataset]
    layout: PatternLayout
    inside: str = ""

    def read(self, folder: Path, category: str, listing: Listing) -> list[Row]:
        """Rows of one category; empty if nothing is there.

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
            anomalous(Path(image), kind, Path(mask) if mask else None) if index else normal(Path(image))
            for image, kind, index, mask in zip(*columns, strict=True)
        ]

    def present(self, folder: Path, category: str, listing: Listing) -> bool:
        """Whether anything of a category is there."""
        folder = folder / self.inside
        return folder.is_dir() and bool(self.layout.read(folder, category, listing))


Layout = PatternLayout | TableLayout | AnomalibLayout


def _of(pattern: str, category: str) -> str:
    return pattern.replace("{category}", category)


def _find(folder: Path, pattern: str, listing: Listing) -> list[tuple[Path, str]]:
    """Files that a pattern describes, and what ``{kind}`` is for each."""
    *parts, files = pattern.split("/")
    places = [(folder, "")]
    for part in parts:
        wanted = re.compile(re.escape(part).replace(r"\{kind\}", "(?P<kind>.+)").replace(r"\*", ".*"), re.IGNORECASE)
        places = [
            (child, match["kind"] if wanted.groups else kind)
            for place, kind in places
            for child in listing.look(place).folders.values()
            if (match := wanted.fullmatch(child.name))
        ]
    return [
        (image, kind)
        for place, kind in places
        for image in listing.look(place).images
        if fnmatch(image.name.casefold(), files.casefold())
    ]
