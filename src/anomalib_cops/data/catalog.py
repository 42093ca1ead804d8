"""Data sets by name or by folder: what ``source`` and ``target`` of ``ZeroShotTransfer`` can be."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from anomalib.data.datasets import AnomalibDataset
from anomalib.data.datasets.image.mvtecad import CATEGORIES as MVTEC_CATEGORIES
from anomalib.data.datasets.image.mvtecad import MVTecADDataset
from anomalib.data.datasets.image.visa import CATEGORIES as VISA_CATEGORIES
from anomalib.data.datasets.image.visa import VisaDataset
from anomalib.data.errors import MisMatchError
from anomalib.data.utils import Split
from anomalib.utils.path import get_datasets_dir
from pandas import DataFrame

from anomalib_cops.data.folder import FolderSet
from anomalib_cops.data.world import SyntheticSet
from anomalib_cops.errors import InputError, nearest


@runtime_checkable
class LabelledSet(Protocol):
    """A data set whose labelled images can be listed by category.

    Attributes:
        name: Short name for tables.
        identity: Equal for two that are the same data.
        categories: What it has.
    """

    name: str
    identity: str
    categories: tuple[str, ...]

    def samples(self, category: str) -> DataFrame:
        """Lists one category: a row per image, as ``LabelledImages`` takes them, but for ``split``."""
        ...


@dataclass(frozen=True)
class Published:
    """A published data set that anomalib reads.

    Attributes:
        name: Short name for tables.
        title: Its proper name.
        dataset: anomalib's reader.
        categories: All of them.
        folders: Where to look for it below the root, the usual place first.
        home: Its home page.
    """

    name: str
    title: str
    dataset: type[MVTecADDataset] | type[VisaDataset]
    categories: tuple[str, ...]
    folders: tuple[str, ...]
    home: str


MVTEC = Published(
    name="mvtec",
    title="MVTec AD",
    dataset=MVTecADDataset,
    categories=MVTEC_CATEGORIES,
    folders=("MVTecAD", "mvtecad", "mvtec", "mvtec_anomaly_detection", ""),
    home="https://www.mvtec.com/company/research/datasets/mvtec-ad",
)
VISA = Published(
    name="visa",
    title="VisA",
    dataset=VisaDataset,
    categories=VISA_CATEGORIES,
    # visa_pytorch is the one-class split that anomalib's Visa datamodule writes beside the raw archive.
    folders=("visa/visa_pytorch", "VisA/visa_pytorch", "visa_pytorch", "visa", ""),
    home="https://github.com/amazon-science/spot-diff",
)
PUBLISHED = {"mvtec": MVTEC, "mvtecad": MVTEC, "visa": VISA}
NAMES = ("synthetic", *PUBLISHED)


class PublishedSet:
    """The labelled (test) split of a published data set, read by anomalib.

    Args:
        published: Which.
        root: Where data sets are.
    """

    def __init__(self, published: Published, root: Path) -> None:
        self.name = published.name
        self.identity = published.name
        self.categories = published.categories
        self.root = root
        self._published = published

    def samples(self, category: str) -> DataFrame:
        """Lists the test split of one category: a row per image, as ``LabelledImages`` takes them.

        Raises:
            InputError: The category is not there, or its files are not what anomalib expects; nothing is downloaded.
        """
        folder = self._folder(category)
        try:
            dataset: AnomalibDataset = self._published.dataset(root=folder, category=category, split=Split.TEST)
        except (MisMatchError, RuntimeError, ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{self._published.title} in {folder / category} cannot be read: {reason}") from None
        samples = dataset.samples.assign(mask_path=dataset.samples["mask_path"].fillna("").astype(str))
        if set(samples["label_index"]) != {0, 1}:
            raise InputError(f"the test split in {folder / category} lacks normal or anomalous images; copy it again.")
        return samples.assign(set=self.name, category=category, masked=True)

    def _folder(self, category: str) -> Path:
        for folder in self._published.folders:
            if (self.root / folder / category / "test").is_dir():
                return self.root / folder
        expected = self.root / self._published.folders[0] / category / "test"
        raise InputError(
            f"{self._published.title} is expected in {expected}, which does not exist; get it from "
            f"{self._published.home} or with anomalib's datamodule, set root to the folder of all data sets, or name "
            "only categories that are there."
        )


def find_set(wanted: str, *, root: str | None, synthetic: SyntheticSet) -> LabelledSet:
    """Finds a data set: one of ``NAMES`` in any case, or a folder.

    Args:
        wanted: Name or path.
        root: Where published data sets are; anomalib's own folder when not given.
        synthetic: The synthetic world, should it be wanted.

    Raises:
        InputError: No such name or folder.
    """
    if wanted.lower() == "synthetic":
        return synthetic
    if wanted.lower() in PUBLISHED:
        return PublishedSet(PUBLISHED[wanted.lower()], Path(root).expanduser() if root else Path(get_datasets_dir()))
    folder = Path(wanted).expanduser()
    if folder.is_dir():
        return FolderSet(folder)
    if folder.exists():
        raise InputError(f"{wanted} is a file, not a data set; give a folder or one of the names {', '.join(NAMES)}.")
    if folder.name != wanted:
        raise InputError(f"the folder {wanted} does not exist; give one that does or a name of {', '.join(NAMES)}.")
    raise InputError(f"there is no data set or folder named '{wanted}'{nearest(wanted, NAMES)}")


def choose(wanted: Sequence[str], sets: Sequence[LabelledSet]) -> list[tuple[str, ...]]:
    """Shares out the wanted categories among data sets, in the order of each set; each gets those that it has.

    Raises:
        InputError: A category that none has, or a data set that has none of them.
    """
    known = [category for each in sets for category in each.categories]
    names = " and ".join(each.name for each in sets)
    for category in wanted:
        if category not in known:
            raise InputError(f"there is no category '{category}' in {names}{nearest(category, known)}")
    chosen = [tuple(category for category in each.categories if category in wanted) for each in sets]
    for each, share in zip(sets, chosen, strict=True):
        if not share:
            hint = nearest(wanted[0], each.categories)
            raise InputError(f"{each.name} has none of the categories {', '.join(wanted)}{hint}")
    return chosen
