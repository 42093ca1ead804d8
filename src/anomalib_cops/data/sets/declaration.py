"""Declaration of a published data set; ``catalog.py`` has all of them."""

from dataclasses import dataclass

from anomalib.data import AnomalibDataModule

from anomalib_cops.data.sets.anomalib_layout import AnomalibLayout
from anomalib_cops.data.sets.pattern_layout import PatternLayout
from anomalib_cops.data.sets.table_layout import TableLayout

Layout = PatternLayout | TableLayout | AnomalibLayout
"""Any layout: it tells whether a category is there, and lists its images."""


@dataclass(frozen=True)
class Declaration:
    """Declaration of a published data set.

    Attributes:
        name: Short name, as ``source`` and ``target`` take it.
        title: Full name.
        domain: "industrial" or "medical".
        folders: Names that its folder may have, in any case and with or without ``-``, ``_`` and spaces; the first is
            that of anomalib.
        layouts: Layouts that its folder may have, the most likely first; the folders good, defect and mask and the
            layout of MVTec AD are always understood as well.
        licence: Its licence.
        home: Address to get it from.
        counts: Numbers of normal and anomalous images of the labelled part; None if they are not known.
        categories: Names of its categories; empty if all images show the same.
        class_name: What all images show, for a data set without categories.
        has_normal: Whether there are normal images; image metrics need both kinds.
        has_masks: Whether anomalous pixels are known; pixel metrics need them.
        mask_above: Grey level of a mask above which a pixel is anomalous, by its brightest channel.
        download: anomalib's datamodule, if it can download the data set.
    """

    name: str
    title: str
    domain: str
    folders: tuple[str, ...]
    layouts: tuple[Layout, ...]
    licence: str
    home: str
    counts: tuple[int, int] | None
    categories: tuple[str, ...] = ()
    class_name: str = ""
    has_normal: bool = True
    has_masks: bool = True
    mask_above: int = 0
    download: type[AnomalibDataModule] | None = None

    @property
    def labels(self) -> tuple[int, ...]:
        """Labels that its images have: 0 normal, 1 anomalous."""
        return (0, 1) if self.has_normal else (1,)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Levels of metrics that its labels allow, of "image" and "pixel"."""
        return ("image",) * self.has_normal + ("pixel",) * self.has_masks
