"""Which files are in which folder: names only, no file is opened, each folder is read once."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from anomalib_cops.data.images import IMAGE_SUFFIXES
from anomalib_cops.errors import InputError


@dataclass(frozen=True)
class Folder:
    """What is directly inside a folder; hidden entries are left out.

    Attributes:
        folders: Folders by their name in lower case; links are followed.
        images: Image files, by name.
    """

    folders: dict[str, Path]
    images: list[Path]

    @cached_property
    def names(self) -> dict[str, Path]:
        """Image files by name."""
        return {image.name: image for image in self.images}

    @cached_property
    def stems(self) -> dict[str, Path]:
        """Image files by name without suffix, the first of several."""
        return {image.stem: image for image in reversed(self.images)}


class Listing:
    """Folders as they are when first looked at.

    Attributes:
        seen: When each folder or file that mattered was last changed, in nanoseconds: as long as these stay the same,
            so does what was found.
    """

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}
        self._known: dict[Path, Folder] = {}

    def look(self, folder: Path) -> Folder:
        """What is in a folder.

        Raises:
            InputError: The folder cannot be listed, or a link in it leads in circles.
        """
        if folder not in self._known:
            self._known[folder] = self._read(folder)
        return self._known[folder]

    def tree(self, folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> list[Path]:
        """Image files in a folder and all below it, by name; raises as ``look``.

        Args:
            folder: Where to begin.
            above: Folders that it is in, by device and inode: a link back to one of these would never end.
        """
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in above:
            raise InputError(f"the link {folder} leads back to a folder that it is in; remove it.")
        above |= {(status.st_dev, status.st_ino)}
        inside = [image for child in self.look(folder).folders.values() for image in self.tree(child, above)]
        return sorted([*self.look(folder).images, *inside])

    def note(self, path: Path) -> None:
        """Remember a file as one that the result depends on."""
        self.seen[str(path)] = os.stat(path).st_mtime_ns

    def _read(self, folder: Path) -> Folder:
        folders, images = [], []
        try:
            # Before reading: what changes meanwhile makes this listing outdated, not correct.
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
        self.seen[str(folder)] = changed
        return Folder(
            folders={name.casefold(): folder / name for name in sorted(folders)},
            images=[folder / name for name in sorted(images)],
        )


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        raise InputError(f"the link {entry.path} leads nowhere ({error.strerror}); remove it.") from None
