"""Layout of a data set in which a table lists its images and labels."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.pattern_layout import fill_category
from anomalib_cops.data.sets.samples import SampleRow, anomalous_row, normal_row
from anomalib_cops.errors import InputError


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
            entries = entries[entries[name] == fill_category(wanted, category)]
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
