"""Images of a prediction are decoded and resized ahead in threads, once for the model and the result picture."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from anomalib.data import ImageItem, PredictDataset
from lightning.pytorch import Callback
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms.v2.functional import to_dtype, to_image

from anomalib_cops.host.result_picture import shown_image
from anomalib_cops.host.visualizer import TransferVisualizer
from anomalib_cops.images.reading import read_image
from anomalib_cops.images.resizing import resize_levels, resized_planes
from anomalib_cops.machine import processors

_THREADS_AT_MOST = 8
# No more images are begun while decoded ones that wait for the model take more than this.
_WAITING_BYTES = 2**30
# torch's loaders ask a data set for a whole batch if it has this attribute.
_HOOK = "__getitems__"


@dataclass(frozen=True)
class _Loaded:
    item: ImageItem
    shown: Image.Image | None

    @property
    def nbytes(self) -> int:
        image: Any = self.item.image
        return int(image.nbytes)


class ReadingThreads:
    """Threads that read the images of a data set in the order in which a loader is going to ask for them.

    Images come as this package reads them, the right way up and with 16 bits scaled to 8, and at the size of the
    model's input, so that nothing has to correct or resize them later.

    Args:
        paths: Files by index.
        input_size: Height and width of the model's input; None leaves images at their own size.
        field_size: Width and height that result pictures show an image in; None without pictures.
        stride: Distance of the images of a process, which is the number of processes.
    """

    def __init__(
        self,
        paths: Sequence[Any],
        input_size: tuple[int, int] | None = None,
        field_size: tuple[int, int] | None = None,
        stride: int = 1,
    ) -> None:
        self._paths = paths
        self._input_size = input_size
        self._field_size = field_size
        self._stride = stride
        threads = max(1, min(_THREADS_AT_MOST, processors() - 1))
        self._ahead = 2 * threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reading")
        self._waiting: dict[int, Future[_Loaded]] = {}
        self._shown: dict[str, Image.Image] = {}

    def items(self, indices: Sequence[int]) -> list[ImageItem]:
        """Return the items of a batch, and begin to read those of the next ones.

        Raises:
            InputError: A file cannot be used.
        """
        for index in indices:
            self._begin(index)
        following = [indices[-1] + self._stride * (each + 1) for each in range(len(indices) + self._ahead)]
        following = [index for index in following if index < len(self._paths)]
        # A loader in another order asks for none of these.
        for index in self._waiting.keys() - {*indices, *following}:
            self._waiting.pop(index).cancel()
        for index in following:
            if self._waiting_bytes() > _WAITING_BYTES:
                break
            self._begin(index)
        found = {index: self._waiting.pop(index).result() for index in set(indices)}
        for each in found.values():
            if each.shown is not None:
                self._shown[str(each.item.image_path)] = each.shown
        return [found[index].item for index in indices]

    def take_shown(self, path: str) -> Image.Image | None:
        """Return the image at the size of result pictures, once; None if it is not there."""
        return self._shown.pop(path, None)

    def close(self) -> None:
        """Drop what nobody asked for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._waiting.clear()
        self._shown.clear()

    def _begin(self, index: int) -> None:
        if index not in self._waiting:
            self._waiting[index] = self._pool.submit(self._read, index)

    def _waiting_bytes(self) -> int:
        ready = (each for each in self._waiting.values() if each.done() and each.exception() is None)
        return sum(each.result().nbytes for each in ready)

    def _read(self, index: int) -> _Loaded:
        path = str(self._paths[index])
        levels = read_image(path)
        if self._input_size is None or levels.shape[:2] == self._input_size:
            image = to_dtype(to_image(levels), torch.float32, scale=True)
        else:
            image = tv_tensors.Image(torch.from_numpy(resized_planes(resize_levels(levels, self._input_size))))
        shown = None if self._field_size is None else shown_image(Image.fromarray(levels), self._field_size)
        return _Loaded(ImageItem(image=image, image_path=path), shown)


class ReadAhead(Callback):
    """Callback that lets threads read the folder of a prediction, unless its loader has processes of its own for it.

    It has to come before the callbacks that look at images.
    """

    def __init__(self) -> None:
        self._read: list[tuple[Any, ReadingThreads]] = []
        self._visualizer: TransferVisualizer | None = None

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        """Take over the reading of the loaders' data sets."""
        loaders = trainer.predict_dataloaders
        input_size = getattr(pl_module.pre_processor, "input_size", None)
        visualizer = getattr(pl_module, "visualizer", None)
        self._visualizer = visualizer if isinstance(visualizer, TransferVisualizer) else None
        field_size = None if self._visualizer is None else self._visualizer.field_size
        for loader in loaders if isinstance(loaders, (list, tuple)) else [loaders]:
            if _is_plain(loader, input_size) and not is_read_ahead(loader.dataset):
                threads = ReadingThreads(loader.dataset.image_filenames, input_size, field_size, trainer.world_size)
                setattr(loader.dataset, _HOOK, threads.items)
                self._read.append((loader.dataset, threads))
        if self._visualizer is not None:
            self._visualizer.take_shown = self._take_shown

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        """Leave the data sets as they were."""
        for dataset, threads in self._read:
            delattr(dataset, _HOOK)
            threads.close()
        self._read = []
        if self._visualizer is not None:
            self._visualizer.take_shown = None
            self._visualizer = None

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Leave the data sets as they were."""
        self.on_predict_end(trainer, pl_module)

    def _take_shown(self, path: str) -> Image.Image | None:
        found = (threads.take_shown(path) for _, threads in self._read)
        return next((each for each in found if each is not None), None)


def is_read_ahead(dataset: Any) -> bool:
    """Tell whether threads read a data set at present."""
    return _HOOK in getattr(dataset, "__dict__", {})


def _is_plain(loader: Any, input_size: tuple[int, int] | None) -> bool:
    """Tell whether a loader asks this process for files as they are, and images of any size fit into its batches."""
    return (
        isinstance(loader, DataLoader)
        and loader.num_workers == 0
        and loader.batch_sampler is not None
        and type(loader.dataset) is PredictDataset
        and loader.dataset.transform is None
        and (input_size is not None or loader.batch_size == 1)
    )
