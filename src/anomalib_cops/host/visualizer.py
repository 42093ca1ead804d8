"""Result pictures of anomalib with the aspect ratio of the image, the score, and a file name of their own."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from anomalib.data.dataclasses import ImageBatch, ImageItem, NumpyImageBatch, NumpyImageItem
from anomalib.visualization import ImageVisualizer
from lightning.fabric.utilities.apply_func import move_data_to_device
from PIL.Image import Image

from anomalib_cops.data.listed_images import listed_images
from anomalib_cops.data.synthetic.addresses import address_of
from anomalib_cops.errors import InputError
from anomalib_cops.files import replacing
from anomalib_cops.host.drawing_pool import DrawingPool
from anomalib_cops.host.label_threshold import label_threshold
from anomalib_cops.host.result_picture import describe, result_picture
from anomalib_cops.images.picture_names import common_folder, picture_path
from anomalib_cops.thresholds import LabelThreshold

# Compression takes half the time of drawing; a higher level makes files a tenth smaller and takes three times longer.
_COMPRESSION = 1


class TransferVisualizer(ImageVisualizer):
    """Visualizer that draws what anomalib's ``ImageVisualizer`` draws, with these differences.

    Pictures keep the aspect ratio of the image, and state score, threshold and label. Synthetic pictures are drawn
    again instead of being opened, and 16-bit images are shown correctly. Pictures of a ``ZeroShotTransfer`` are named
    by data set, category and label, others by the path of their image inside the folder that contains all images; so no
    picture overwrites another. They are drawn in threads while the model goes on, and are complete when the run ends.

    Args:
        fields: Fields to show on their own; ``["image", "gt_mask"]`` by default.
        overlay_fields: Fields to show on top of others; by default the anomaly map on the image and the predicted mask
            on the image.
        field_size: Width and height in pixels that every field is made to fit.
        fields_config: Options of fields by name.
        overlay_fields_config: Options of overlaid fields by name.
        text_config: Options of texts; ``{"enable": False}`` for none.
        output_dir: Folder of the pictures; ``images`` in the folder of the run by default.
    """

    # Synthetic pictures are drawn again from their address; ``ZeroShotTransfer`` asks whether it has to write files.
    reads_files = False

    def __init__(
        self,
        fields: list[str] | None = None,
        overlay_fields: list[tuple[str, list[str]]] | None = None,
        field_size: tuple[int, int] = (512, 512),
        fields_config: dict[str, dict[str, Any]] | None = None,
        overlay_fields_config: dict[str, dict[str, Any]] | None = None,
        text_config: dict[str, Any] | None = None,
        output_dir: str | Path | None = None,
    ) -> None:
        text = {"size": 20, **(text_config or {})}
        super().__init__(fields, overlay_fields, field_size, fields_config, overlay_fields_config, text, output_dir)
        self._run: _Run | None = None
        # Gives images of a prediction that are decoded already, by path.
        self.take_shown: Callable[[str], Image | None] | None = None

    def visualize(
        self, predictions: ImageItem | NumpyImageItem | ImageBatch | NumpyImageBatch
    ) -> Image | list[Image | None] | None:
        """Return the picture of an item or of a batch of one, or a list of pictures; None where nothing is shown."""
        if isinstance(predictions, (ImageItem, NumpyImageItem)):
            return result_picture(predictions, self)
        pictures = [result_picture(item, self) for item in predictions]
        return pictures[0] if len(pictures) == 1 else pictures

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Start to draw one picture per image of the batch.

        Raises:
            InputError: An earlier picture could not be written.
        """
        if self._run is None:
            self._run = _Run(self, trainer)
        threshold = label_threshold(pl_module)
        for item in move_data_to_device(batch, "cpu"):
            self._run.begin(item, threshold)

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """Wait for all pictures.

        Raises:
            InputError: A picture could not be written.
        """
        if self._run is not None:
            run, self._run = self._run, None
            run.pool.finish()

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        """Wait for all pictures; raise errors as ``on_test_end`` does."""
        self.on_test_end(trainer, pl_module)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Drop the pictures that were not started."""
        if self._run is not None:
            run, self._run = self._run, None
            run.pool.abandon()


class _Run:
    """Pictures of one test or prediction."""

    def __init__(self, settings: TransferVisualizer, trainer: Any) -> None:
        self.pool = DrawingPool()
        self._settings = settings
        self._folder = Path(settings.output_dir or Path(trainer.default_root_dir) / "images")
        self._datamodule = getattr(trainer, "datamodule", None)
        predicting = getattr(trainer, "predicting", False)
        self._common = common_folder(
            listed_images(getattr(trainer, "predict_dataloaders" if predicting else "test_dataloaders", None))
        )
        self._numbers = count(getattr(trainer, "global_rank", 0), getattr(trainer, "world_size", 1))

    def begin(self, item: ImageItem, threshold: LabelThreshold | None) -> None:
        """Draw and write a picture in a thread."""
        take, path = self._settings.take_shown, item.image_path
        shown = None if take is None or path is None else take(path)
        self.pool.submit(_write, item, self._settings, threshold, self._folder / self._name(path), shown)

    def _name(self, image_path: str | None) -> Path:
        if image_path is None:
            return Path(f"{next(self._numbers):06d}.png")
        name: Path | None = getattr(self._datamodule, "picture_name", lambda _: None)(image_path)
        return name or picture_path(self._common, address_of(image_path))


def _write(
    item: ImageItem, settings: TransferVisualizer, threshold: LabelThreshold | None, path: Path, shown: Image | None
) -> None:
    picture = result_picture(item, settings, describe(item, threshold), shown)
    if picture is None:
        return
    try:
        with replacing(path) as unfinished:
            picture.save(unfinished, format="png", compress_level=_COMPRESSION)
    except OSError as error:
        raise InputError(
            f"the picture {path} cannot be written ({error.strerror or error}); make room, choose another folder with "
            "default_root_dir, or draw none with visualizer=False."
        ) from None
