"""Score images into a table, and go on where an earlier run stopped."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalib_cops.errors import InputError
from anomalib_cops.scoring.batches import PictureFolder, in_batches, score_batch
from anomalib_cops.scoring.done import Done
from anomalib_cops.scoring.listing import Found, Listing
from anomalib_cops.scoring.parquet import ParquetTable, require_pyarrow
from anomalib_cops.scoring.progress import Progress
from anomalib_cops.scoring.reading import Wanted, read_ahead
from anomalib_cops.scoring.rows import Row
from anomalib_cops.scoring.settings_file import SettingsFile, is_begun
from anomalib_cops.scoring.table import Table, TextTable
from anomalib_cops.scoring.text_format import Csv, JsonLines

OUTPUT_SUFFIXES = (".parquet", ".csv", ".jsonl")


@dataclass(frozen=True)
class Job:
    """What is scored, and where the results go.

    Attributes:
        source: folder, image, text file of paths, archive or fsspec address.
        output: table to write; its suffix is one of ``OUTPUT_SUFFIXES``.
        pictures: folder for result pictures; None writes none.
        workers: processes that read images ahead; 0 reads in this process.
        max_pixels: size in pixels above which an image is refused; Pillow's limit if None.
        retry_errors: score the images again whose row has an error.
    """

    source: str
    output: Path
    pictures: Path | None = None
    workers: int = 1
    max_pixels: int | None = None
    retry_errors: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without a model.

        Raises:
            InputError: the output has another suffix, a number is out of range, or pictures would replace images.
        """
        if self.output.suffix not in OUTPUT_SUFFIXES:
            raise InputError(f"--output {self.output} has to end in one of {', '.join(OUTPUT_SUFFIXES)}.")
        if self.output.suffix == ".parquet":
            require_pyarrow()
        if self.workers < 0:
            raise InputError(f"--workers {self.workers} has to be 0 or more.")
        if self.max_pixels is not None and self.max_pixels < 1:
            raise InputError(f"--max_pixels {self.max_pixels} has to be 1 or more.")
        if self.pictures is not None and self.pictures.resolve() == Path(self.source).expanduser().resolve():
            raise InputError(
                f"--pictures {self.pictures} is the folder of the images, which result pictures would replace; give "
                "another folder."
            )
        if self.pictures is not None and not is_begun(self.output) and _holds_images_of(self.source, self.pictures):
            raise InputError(
                f"--pictures {self.pictures} is a folder of {self.source} that holds images already, which result "
                "pictures might replace; give another folder."
            )

    def listing(self) -> Listing:
        """Return the images of the source.

        Raises:
            InputError: there is no such source.
        """
        return Listing(self.source, () if self.pictures is None else (self.pictures,))

    def picture_folder(self) -> PictureFolder | None:
        """Make the folder for result pictures; None without one.

        Raises:
            InputError: it cannot be written to.
        """
        if self.pictures is None:
            return None
        source = Path(self.source).expanduser().resolve()
        return PictureFolder(self.pictures, str(source) if source.is_dir() else None)


def _holds_images_of(source: str, pictures: Path) -> bool:
    """Tell whether a folder inside the source has images of its own."""
    folder, inside = Path(source).expanduser().resolve(), pictures.resolve()
    return inside.is_relative_to(folder) and inside.is_dir() and any(Listing(str(inside)))


@dataclass
class Summary:
    """Counts of a run.

    Attributes:
        scored: images that got a score in this run.
        failed: images that got an error in this run.
        earlier: images that had a row from an earlier run.
        earlier_failed: those of them with an error.
        others: files that are no images by their suffix.
        repeated: folders that were left out because they had been listed under another path.
    """

    scored: int = 0
    failed: int = 0
    earlier: int = 0
    earlier_failed: int = 0
    others: int = 0
    repeated: int = 0

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return self.scored + self.failed + self.earlier

    @property
    def errors(self) -> int:
        """Rows of the table with an error."""
        return self.failed + self.earlier_failed


def score(job: Job, make_predictor: Callable[[], Any], progress: Progress | None = None) -> Summary:
    """Score the images of a job that have no row yet.

    The table is valid at any moment. If the process is killed, the next run scores again at most the images of the last
    batch.

    Args:
        job: what is scored, and where the results go.
        make_predictor: makes the :class:`~anomalib_cops.inference.predictor.Predictor`.
        progress: is told of each batch; None shows nothing.

    Raises:
        InputError: an argument cannot be used, there are no images, the table was made with other settings, or it
            cannot be written any more.
    """
    progress = progress or Progress()
    listing = job.listing()
    if next(iter(listing), None) is None:
        raise InputError(f"{job.source} contains no images; give a folder, a list of files or an archive of images.")
    pictures = job.picture_folder()
    with make_predictor() as predictor, SettingsFile(job.output, predictor.settings):
        table = open_table(job.output)
        if job.retry_errors:
            table.drop_errors()
        summary = Summary()
        done = Done(count_rows(table.rows(), summary))
        try:
            progress.expect(lambda: sum(1 for _ in missing(job.listing(), done)))
            images = missing(listing, done)
            ahead = job.workers + predictor.batch_size
            wanted = Wanted(job.max_pixels, predictor.input_size, keeps_levels=pictures is not None)
            reading = read_ahead(images, job.workers, ahead, wanted)
            for batch in in_batches(reading, predictor.batch_size):
                rows = score_batch(predictor, batch, pictures)
                table.add(rows)
                failed = sum(row.error is not None for row in rows)
                summary.failed += failed
                summary.scored += len(rows) - failed
                progress.advance(len(rows), failed)
        finally:
            table.finish()
    summary.others, summary.repeated = listing.others, listing.repeated
    return summary


def open_table(output: Path) -> Table:
    """Open the table of a file, or prepare a new one.

    Raises:
        InputError: it is not a table of scores, or the package for it is missing.
    """
    if output.is_dir():
        raise InputError(f"{output} is a folder, as --ray writes it; add --ray to go on, or give another --output.")
    if output.suffix == ".parquet":
        return ParquetTable(output)
    return TextTable(output, Csv() if output.suffix == ".csv" else JsonLines())


def count_rows(rows: Iterable[Row], summary: Summary) -> Iterator[str]:
    """Yield the paths of rows from an earlier run, and count these rows."""
    for row in rows:
        summary.earlier += 1
        summary.earlier_failed += row.error is not None
        yield row.path


def missing(listing: Listing, done: Done) -> Iterator[Found]:
    """Yield the images of a listing that have no row."""
    return (found for found in listing if found.path not in done)
