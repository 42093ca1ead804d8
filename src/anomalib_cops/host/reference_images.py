"""Reference images: a few good images of the target, which every method compares its images with."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from anomalib_cops.data.good_images import (
    ImageSource,
    check_enough,
    check_readable,
    content_of,
    list_images,
    normal_training_images,
    with_content_of,
)
from anomalib_cops.data.sets.samples import abbreviate
from anomalib_cops.data.synthetic.addresses import is_address
from anomalib_cops.errors import InputError
from anomalib_cops.host.post_processing import TransferPostProcessor
from anomalib_cops.host.reference_checks import tested_images, warn_of_other_shape, warn_of_references
from anomalib_cops.host.reference_memory import build_memories
from anomalib_cops.host.tiling import TilesMixin
from anomalib_cops.models.patch_memory import FewShotModel, PatchMemory
from anomalib_cops.tiles import WHOLE, parse_tiles
from anomalib_cops.weights.format import MODEL
from anomalib_cops.weights.header import MEMORY, THRESHOLDS, TILE_MEMORY, WeightFile
from anomalib_cops.weights.target import References

logger = logging.getLogger(__name__)
PURPOSE = "reference images"


@dataclass(frozen=True)
class ReferenceOptions:
    """Hold the arguments of all models that concern reference images.

    Attributes:
        k_shot: number of good images of the target to compare with: the first ones of few_shot_source, or as many
            normal images of the datamodule's training split, drawn by seed. 0 for none, or for all of few_shot_source.
        few_shot_source: folder of good images of the target to compare with.
        turn_references: also compare with the references turned and mirrored, for parts that lie in any orientation.
        memory_limit: largest number of patches that are kept of the references; a core-set of that size is kept of
            more.

    Raises:
        InputError: a number is not allowed.
    """

    k_shot: int = 0
    few_shot_source: str | None = None
    turn_references: bool = False
    memory_limit: int = 16384

    def __post_init__(self) -> None:
        """Check the values; a path becomes text, as configurations and checkpoints hold it."""
        object.__setattr__(self, "few_shot_source", str(self.few_shot_source) if self.few_shot_source else None)
        if self.k_shot < 0:
            raise InputError(f"k_shot={self.k_shot} must be 0 or more.")
        if self.memory_limit < 1:
            raise InputError(f"memory_limit={self.memory_limit} must be at least 1.")

    @property
    def are_wanted(self) -> bool:
        """Whether references were asked for."""
        return self.k_shot > 0 or bool(self.few_shot_source)


class ReferencesMixin(TilesMixin):
    """Compare images with a few good ones, if the user has some. Prompts never change by them.

    References are read when the model is first used: in a test or prediction, an export, or a call of the model. They
    are part of weight files, checkpoints and exports.

    Attributes:
        reference_options: the arguments that concern them.
        references: the references in use; None for zero-shot.
    """

    model: Any
    post_processor: Any
    pre_processor: Any
    seed: int | None
    reference_options: ReferenceOptions
    references: References | None = None
    _reference_files: list[str] | None = None
    _references_are_due: bool = False

    @property
    def wants_references(self) -> bool:
        """Whether the user asked for references, by arguments or by ``load_references``."""
        return self.reference_options.are_wanted or self._reference_files is not None

    def load_references(self, source: ImageSource, k_shot: int = 0) -> References:
        """Compare with other good images from now on, in place of earlier ones.

        Thresholds are forgotten, because the scores change: call ``calibrate`` again.

        Args:
            source: folder of good images of the target, or a list of files.
            k_shot: how many of them to take, the first by name; 0 for all.

        Returns:
            What is known of the references.

        Raises:
            InputError: there are too few images, one cannot be read, or the method cannot use references.
        """
        paths = first_images(source, k_shot)
        references = self._use(paths)
        self._reference_files = paths
        return references

    def load_due_references(self) -> None:
        """Read the references that the arguments ask for, unless that was done.

        Raises:
            InputError: they cannot be used.
        """
        if self._references_are_due:
            self._use(self.reference_files())

    def reference_files(self) -> list[str]:
        """Return the files of the references that the user asked for; empty if none were.

        Raises:
            InputError: there are none, or fewer than asked for.
        """
        options = self.reference_options
        if self._reference_files is not None or not options.are_wanted:
            return self._reference_files or []
        if options.few_shot_source:
            return first_images(options.few_shot_source, options.k_shot)
        datamodule = getattr(self.trainer, "datamodule", None) if self._trainer else None
        if datamodule is None:
            raise InputError(
                f"k_shot={options.k_shot} takes images from a datamodule's training split, and there is none here; "
                "give a folder of good images as few_shot_source."
            )
        return normal_training_images(datamodule, options.k_shot, self.seed or 0)

    def drop_references(self) -> None:
        """Go back to zero-shot, without the references and the thresholds that fit their scores."""
        self.reference_options = replace(self.reference_options, k_shot=0, few_shot_source=None)
        self._reference_files = None
        if self.references is not None:
            self.forget_thresholds()
        self.unload_references()

    def unload_references(self) -> None:
        """Remove the memory; references that the user asked for are read again when they are needed."""
        self.model.memory = self.model.tile_memory = None
        self.references = None
        self._references_are_due = self.wants_references

    def take_target(self, file: WeightFile, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Take over the references, tiles and thresholds of a file, unless the user asked for others.

        Thresholds that were found with other tiles do not fit the scores, so they are forgotten.

        Args:
            file: content of the file.
            state: tensors that are about to be loaded, by the file's names.

        Returns:
            The tensors to load: all but memories and thresholds that are not wanted.

        Raises:
            InputError: the file's references were cut into other tiles than the user asks for.
        """
        self.unload_references()
        theirs = file.tiles
        if self.tile_options.tiles is None:
            self.use_tiles(parse_tiles(theirs))
        if isinstance(self.post_processor, TransferPostProcessor):
            self.post_processor.calibration = file.calibration if self.tiles == theirs else None
        unwanted: set[str] = set()
        if self.tiles != theirs:
            unwanted = {*THRESHOLDS, *(f"post_processor.{attribute}" for attribute in THRESHOLDS.values())}
            if unwanted & set(file.tensors):
                logger.warning(
                    "The thresholds of %s were set with tiles='%s' and are forgotten; calibrate again with tiles='%s'.",
                    file.source,
                    theirs or WHOLE,
                    self.tiles or WHOLE,
                )
        if file.memory and not self.wants_references and isinstance(self.model, FewShotModel):
            if self.tiles != theirs:
                raise InputError(
                    f"The references in {file.source} were described with tiles='{theirs or WHOLE}'; leave tiles out, "
                    "or give the images again as few_shot_source to describe them with others."
                )
            for name, prefix in (("memory", MEMORY), ("tile_memory", TILE_MEMORY)):
                memory = PatchMemory.shaped_like(file.memory, prefix)
                setattr(self.model, name, None if memory is None else memory.to(self.device))
            self.references = file.references
        else:
            unwanted |= set(file.memory)
        return {name: value for name, value in state.items() if name.removeprefix(MODEL) not in unwanted}

    def forget_thresholds(self) -> None:
        """Forget thresholds, which no longer fit the scores."""
        if isinstance(self.post_processor, TransferPostProcessor):
            self.post_processor.set_thresholds(None, None, None)

    def begin_with_references(self, *, is_test: bool) -> None:
        """Get the references ready for a run, and see that they are not among the images of the run.

        Raises:
            InputError: the references cannot be used, or an image of a test is one of them.
        """
        self.load_due_references()
        if self.references is None:
            return
        images = tested_images(self.trainer)
        shared = with_content_of(images, self.references.contents)
        if shared and is_test:
            raise InputError(
                f"{abbreviate(shared)} of the test images {'is' if len(shared) == 1 else 'are'} among the reference "
                "images, so the figures would be too good; take other references, or leave them out of the test."
            )
        warn_of_references(shared)
        warn_of_other_shape(self.references.files, images)

    def _use(self, paths: list[str]) -> References:
        if not isinstance(self.model, FewShotModel):
            raise InputError(
                f"{type(self).__name__} cannot use reference images; leave k_shot and few_shot_source out."
            )
        check_readable(paths)
        self.unload_references()
        # Tensors made in a prediction could not be changed later.
        with torch.inference_mode(False):
            built = build_memories(self, paths)
        digests, sizes = zip(*map(content_of, paths), strict=True)
        self.model.memory, self.model.tile_memory = built.whole, built.tiles
        self.references = References(
            files=[path if is_address(path) else os.path.abspath(path) for path in paths],
            digests=list(digests),
            sizes=list(sizes),
            scores=built.scores,
            peaks=built.peaks,
            tiles=self.tiles,
        )
        self._references_are_due = False
        self.forget_thresholds()
        if built.suspicious:
            logger.warning(
                "Among the reference images, %s: unlike all others; see that it is good and shows the same.",
                abbreviate([paths[index] for index in built.suspicious]),
            )
        return self.references


def first_images(source: ImageSource, count: int) -> list[str]:
    """Return the first images of a folder or list by name; all if ``count`` is 0.

    Raises:
        InputError: there are none, or fewer than asked for.
    """
    paths = list_images(source, PURPOSE)
    check_enough(count, len(paths), str(source))
    return paths[: count or None]
