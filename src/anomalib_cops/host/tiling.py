"""Score large images in tiles: every tile is an image of its own for the encoder, the prompts and the references."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from anomalib.data import ImageBatch, InferenceBatch
from torch import Tensor

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.errors import InputError
from anomalib_cops.host.pre_processing import ClipPreProcessor
from anomalib_cops.tiles import Box, Map, Tiling, parse_tiles, score_in_tiles

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule as _Base
else:
    _Base = object


@dataclass(frozen=True)
class TileOptions:
    """Hold the arguments of all models that concern large images.

    Attributes:
        tiles: how to cut images into tiles at a test or prediction, for defects that are small beside the image. "auto"
            for tiles at full resolution, wherever an image is larger than the model's input; a grid of rows and
            columns, such as "3x4"; a size in pixels with or without an overlap, such as "512" or "512/128"; "none" for
            whole images. By default what the references and thresholds of the weights were made with, else "none".
        tile_batch: number of tiles that go through the encoder at a time, which bounds memory.

    Raises:
        InputError: a value is not allowed.
    """

    tiles: str | None = None
    tile_batch: int = 8

    def __post_init__(self) -> None:
        """Check the values; a number becomes text."""
        object.__setattr__(self, "tiles", None if self.tiles in (None, "") else str(self.tiles))
        parse_tiles(self.tiles)
        if self.tile_batch < 1:
            raise InputError(f"tile_batch={self.tile_batch} must be at least 1.")


class TilesMixin(_Base):
    """Predict images as a whole, or as a whole and in tiles.

    With tiles, images come to the model at their own size, and scores and maps are those of
    :func:`~anomalib_cops.tiles.score_in_tiles`.

    Attributes:
        tile_options: the arguments that concern tiles.
        tiling: how images are cut; None for whole images.
    """

    model: Any
    pre_processor: Any
    post_processor: Any
    tile_options: TileOptions
    tiling: Tiling | None = None

    @property
    def clip(self) -> FrozenCLIP:
        """The frozen encoder."""
        return self.model.clip

    @property
    def tiles(self) -> str:
        """The tiling in use as users write it; empty for whole images."""
        return self.tiling.text if self.tiling else ""

    def use_tiles(self, tiling: Tiling | None) -> None:
        """Cut images in this way from now on.

        Raises:
            InputError: a pre-processor of the user's own would resize images before they are cut.
        """
        if tiling is not None and not isinstance(self.pre_processor, ClipPreProcessor):
            raise InputError(
                f"tiles='{tiling.text}' needs the model's own pre-processor, as others resize images before they "
                "are cut; leave pre_processor out."
            )
        self.tiling = tiling
        if isinstance(self.pre_processor, ClipPreProcessor):
            self.pre_processor.keep_size(tiling is not None)

    def pre_processor_of(self, clip: FrozenCLIP) -> Any:
        """Return the model's own pre-processor with the image size, mean and std of an encoder."""
        module: Any = self
        pre_processor = module.configure_pre_processor((clip.image_size, clip.image_size))
        # The host calls configure_pre_processor with the size alone, and subclasses override it so.
        if isinstance(pre_processor, ClipPreProcessor):
            pre_processor.fit_to(clip)
        return pre_processor

    def check_tiles(self, stage: str, data: Any) -> None:
        """Refuse a run that tiles do not go with.

        Args:
            stage: of the trainer, such as "fit" or "test".
            data: the datamodule of the run, if there is one.

        Raises:
            InputError: the run is a training, or makes batches that images of different sizes do not fit into.
        """
        if self.tiling is None:
            return
        if stage == "fit":
            raise InputError(
                f"tiles='{self.tiles}' is for tests and predictions; leave tiles out of the training, and give them "
                "with its weights."
            )
        size = getattr(data, "eval_batch_size", 1)
        if stage in ("test", "validate") and size > 1:
            raise InputError(
                f"tiles='{self.tiles}' leaves images at their own sizes, which do not fit into batches of {size}; give "
                "--data.eval_batch_size 1 (tile_batch says how many tiles are computed at a time)."
            )

    def predict_batch(self, batch: Any) -> dict[str, Any]:
        """Return raw scores (batch) and maps (batch height width) by their names in a batch.

        Args:
            batch: images as the pre-processor leaves them: prepared for the encoder, or in [0, 1] at their own size
                with tiles.
        """
        module: Any = self
        inputs = module.extra_inputs(batch)
        if self.tiling is None:
            return self.model(batch.image, **inputs)._asdict()
        rows = [
            self._in_tiles(image, {name: values[row : row + 1] for name, values in inputs.items()})
            for row, image in enumerate(batch.image)
        ]
        scores, maps = zip(*rows, strict=True)
        device = batch.image.device
        return {
            "pred_score": torch.tensor(scores, device=device),
            "anomaly_map": torch.from_numpy(np.stack(maps)).to(device),
        }

    @torch.no_grad()
    def predict_images(self, images: Sequence[Tensor]) -> list[InferenceBatch]:
        """Score images (3 height width) in [0, 1] as a prediction of their files does, with thresholds applied.

        Returns:
            A prediction of each image, a batch of one.
        """
        if self.tiling is None:
            batches = [self.prepare(list(images))]
        else:
            batches = [image.unsqueeze(0).to(self.device) for image in images]
        rows = []
        for batch in batches:
            found = InferenceBatch(**self.predict_batch(ImageBatch(image=batch)))
            found = self.post_processor(found) if self.post_processor else found
            rows += [_row(found, row) for row in range(len(batch))]
        return rows

    def boxes(self, image: Tensor) -> list[Box]:
        """Return the tiles of an image (3 height width); none if it is small enough as a whole, or tiles are off."""
        height, width = image.shape[-2:]
        return self.tiling.boxes(height, width, self.clip.image_size) if self.tiling else []

    def prepare(self, crops: list[Tensor]) -> Tensor:
        """Resize and normalise crops (3 height width) in [0, 1] for the encoder; a batch (crops 3 side side)."""
        pre_processor = self.pre_processor or self.pre_processor_of(self.clip)
        transform = getattr(pre_processor, "model_transform", pre_processor.transform)
        return torch.stack([transform(crop) if transform else crop for crop in crops]).to(self.device)

    def _in_tiles(self, image: Tensor, inputs: dict[str, Any]) -> tuple[float, Map]:
        boxes = self.boxes(image)
        if boxes and self.model.memory is not None and self.model.tile_memory is None:
            height, width = image.shape[-2:]
            raise InputError(
                f"An image of {width} x {height} pixels is cut into tiles, but no reference image is large enough to "
                "be; take references with the same camera."
            )

        def run(crops: list[Tensor]) -> tuple[list[float], list[Map]]:
            repeated = {name: list(values) * len(crops) for name, values in inputs.items()}
            found = self.model(self.prepare(crops), **repeated)
            return found.pred_score.flatten().tolist(), list(found.anomaly_map.float().cpu().numpy())

        def run_tiles(crops: list[Tensor]) -> tuple[list[float], list[Map]]:
            with self.model.comparing_tiles():
                return run(crops)

        return score_in_tiles(image, boxes, run, run_tiles, self.tile_options.tile_batch)


def joined(predictions: Sequence[InferenceBatch]) -> InferenceBatch:
    """Join predictions of images of one size."""
    fields = zip(*predictions, strict=True)
    return InferenceBatch(*(None if any(part is None for part in parts) else torch.cat(parts) for parts in fields))


def _row(prediction: InferenceBatch, row: int) -> InferenceBatch:
    return InferenceBatch(*(None if each is None else each[row : row + 1] for each in prediction))
