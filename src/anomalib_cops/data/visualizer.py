"""anomalib's result pictures for images that are not files, and for several data sets at once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from anomalib.data.dataclasses import ImageItem
from anomalib.utils.path import generate_output_filename
from anomalib.visualization import ImageVisualizer
from PIL.Image import Image
from torchvision.transforms.v2.functional import to_image

from anomalib_cops.data.world import draw_address, is_drawn


class TransferVisualizer(ImageVisualizer):
    """Draws what ``ImageVisualizer`` draws, with two differences.

    Synthetic pictures are drawn again instead of being opened. Pictures of results are named by data set, category
    and label, where anomalib's names of several categories would fall on each other.
    """

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Writes one picture per image of the batch."""
        if self.output_dir is None:
            self.output_dir = Path(trainer.default_root_dir) / "images"
        for item in batch:
            picture = self.visualize(_with_picture(item))
            if isinstance(picture, Image):
                path = _path(Path(self.output_dir), getattr(trainer, "datamodule", None), item.image_path or "")
                path.parent.mkdir(parents=True, exist_ok=True)
                picture.save(path)


def _path(folder: Path, datamodule: Any, image_path: str) -> Path:
    name: Path | None = datamodule.picture_name(image_path) if hasattr(datamodule, "picture_name") else None
    if name is not None:
        return folder / name
    known = (getattr(datamodule, "name", None), getattr(datamodule, "category", None))
    return Path(generate_output_filename(image_path, folder, *known))


def _with_picture(item: ImageItem) -> ImageItem:
    # anomalib opens image_path where there is one, and shows the tensor where there is none.
    if item.image_path is None or not is_drawn(item.image_path):
        return item
    return replace(item, image_path=None, image=to_image(draw_address(item.image_path)[0]))
