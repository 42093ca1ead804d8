"""Listing of folders by file names: no file is opened, and each folder is read once."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from anomalib_cops.errors import InputError
from anomalib_cops.images.reading import IMAGE_SUFFIXES


@dataclass(frozen=True)
class FolderContents:
    """Contents of a folder, without its sub-folders' and without hidden entries.

    Attributes:
        folders: Sub-folders by their name in lower case; links are followed.
        images: Image files, sorted by name.
    """

    folders: dict[str, Path]
    images: list[Path]

    @cached_property
    def by_name(self) -> dict[str, Path]:
        """Image files by name."""
        return {image.name: image for image in self.images}

    @cached_property
    def by_stem(self) -> dict[str, Path]:
        """Image files by name without suffix; of several files the first."""
        return {image.stem: image for image in reversed(self.images)}


class Listing:
    """Folders as they were when they were first listed.

    Attributes:
        modified: Time of the last change of each folder or file that matters, in nanoseconds, by path. As long as these
            times stay the same, so does everything that was found.
    """

    def __init__(self) -> None:
        self.modified: dict[str, int] = {}
        self._listed: dict[Path, FolderContents] = {}

    def contents(self, folder: Path) -> FolderContents:
        """Return the contents of a folder.

        Raises:
            InputError: The folder cannot be listed, or it contains a broken link.
        """
        if folder not in self._listed:
            self._listed[folder] = self._read(folder)
        return self._listed[folder]

    def tree(self, folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> list[Path]:
        """Return the image files in a folder and all its sub-folders, sorted by path.

        Args:
            folder: Where to begin.
            above: Device and inode of the folders that it is in.

        Raises:
            InputError: A folder cannot be listed, or a link leads back to a folder that it is in.
        """
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in above:
            raise InputError(f"the link {folder} leads back to a folder that it is in; remove it.")
        above |= {(status.st_dev, status.st_ino)}
        inside = [image for child in self.contents(folder).folders.values() for image in self.tree(child, above)]
        return sorted([*self.contents(folder).images, *inside])

    def note(self, path: Path) -> None:
        """Record that the result depends on a file."""
        self.modified[str(path)] = os.stat(path).st_mtime_ns

    def _read(self, folder: Path) -> FolderContents:
        folders, images = [], []
        try:
            # Take the time before reading: a change in between then makes this listing outdated.
            changed = os.stat(folder).st_mtime_ns
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if _is_folder(entry):
                        folders.append(entry.name)
                    elif entry.name.lower().endswith(IMAGE_SUFFIXES):
                        images.append(entry.name)
        except OSError as error:
            raise InputError(f"the folder {folder} cannot be listed ({error.strerror}); give a readable one.") from None
        self.modified[str(folder)] = changed
        return FolderContents(
            folders={name.casefold(): folder / name for name in sorted(folders)},
            images=[folder / name for name in sorted(images)],
        )


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        raise InputError(f"the link {entry.path} leads nowhere ({error.strerror}); remove it.") from None
