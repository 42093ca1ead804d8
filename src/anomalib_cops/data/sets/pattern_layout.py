"""Layout of a data set in which patterns of paths describe its images and masks."""

import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.samples import MASK_ENDINGS, SampleRow, anomalous_row, normal_row


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
        good = dict(_find(folder, fill_category(self.normal, category), listing)) if self.normal else {}
        bad = dict(_find(folder, fill_category(self.anomalous, category), listing))
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
        *parts, name = fill_category(self.mask, category).replace("{kind}", kind).split("/")
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


def fill_category(pattern: str, category: str) -> str:
    """Put the name of a category into a pattern."""
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
