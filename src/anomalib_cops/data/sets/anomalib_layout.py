"""Layout of a data set that anomalib reads itself."""

from dataclasses import dataclass
from inspect import signature
from pathlib import Path

from anomalib.data.datasets import AnomalibDataset
from anomalib.data.utils import Split

from anomalib_cops.data.sets.listing import Listing
from anomalib_cops.data.sets.pattern_layout import PatternLayout
from anomalib_cops.data.sets.samples import SampleRow, anomalous_row, normal_row
from anomalib_cops.errors import InputError


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
            has_categories = "category" in signature(self.dataset).parameters
            arguments = {"category": category} if has_categories else {}
            samples = self.dataset(root=folder, split=Split.TEST, **arguments).samples  # type: ignore[call-arg]
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
