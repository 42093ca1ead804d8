"""What is said of a published data set; the sets themselves are in ``catalog.py``."""

from dataclasses import dataclass

from anomalib.data import AnomalibDataModule

from anomalib_cops.data.sets.layouts import Layout


@dataclass(frozen=True)
class Declaration:
    """A published data set.

    Attributes:
        name: Short name, as ``source`` and ``target`` take it.
        title: Its proper name.
        domain: "industrial" or "medical".
        folders: What its folder is called; the first is where anomalib keeps it. Case, ``-``, ``_`` and spaces do not
            matter.
        layouts: How it may lie there, the likelier ones first; good/defect/mask and the layout of MVTec AD are always
            understood as well.
        licence: Its licence.
        home: Where to get it.
        counts: How many normal and anomalous images the labelled part has; none if not known.
        categories: Names of its categories; empty if it shows one thing only.
        class_name: What all images show, for sets without categories.
        has_normal: Whether there are normal images; image metrics need both.
        has_masks: Whether anomalous pixels are known; pixel metrics need them.
        mask_above: A pixel is anomalous where the brightest channel of its mask is above this.
        download: anomalib's datamodule, where it can download the set.
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
        """Which labels its images have: 0 normal, 1 anomalous."""
        return (0, 1) if self.has_normal else (1,)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What can be measured on it: of "image" and "pixel"."""
        return ("image",) * self.has_normal + ("pixel",) * self.has_masks
