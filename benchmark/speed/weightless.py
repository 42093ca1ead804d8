"""Build towers of any size without weights, on torch's meta device, and count operations on them.

Tensors on that device have shapes and no values, so the largest tower takes no memory and no download.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import get_clean_fn
from torch import Tensor
from torch.overrides import TorchFunctionMode

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.encoder.load import model_config, native_image_size, new_model
from anomalib_cops.encoder.supported import check_config
from anomalib_cops.encoder.tokenizer import Tokenizer, load_tokenizer

from .inference import images_for_open_clip
from .stopwatch import gflop

START, END, PADDING, FIRST_WORD = 1, 2, 0, 3
"""Token ids of the stand-in tokenizers; those of words begin at the last one."""
BEGIN_WITH_A_TOKEN = ("bert", "facebook/xlm")
"""First letters of the names of the hub's tokenizers that write a token before the words; T5's and SigLIP's do not."""

FILLING = frozenset(
    {"uniform_", "normal_", "kaiming_uniform_", "fill_", "zero_", "erfinv_", "mul_", "add_", "clamp_", "copy_"}
)
"""Names of the functions by which torch and timm write initial values into parameters."""


class NoInitialValues(TorchFunctionMode):
    """Leave out the drawing of initial values, which takes most of the time to build a tower of any size."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the tensor that ``func`` would have filled, or what any other function returns."""
        name, given = getattr(func, "__name__", ""), kwargs or {}
        if name in FILLING:
            tensor = args[0] if args else given["tensor"]
            # On other devices, a loop may wait for random numbers in some range.
            if tensor.is_meta or name == "kaiming_uniform_":
                return tensor
        return func(*args, **given)


class StandInTokenizer:
    """CLIP's words between the special tokens of one of the hub's tokenizers, which cannot be downloaded everywhere.

    Args:
        text: ``text_cfg`` of a configuration of open_clip that names a tokenizer of the hub.
    """

    def __init__(self, text: dict[str, Any]) -> None:
        self.clean = get_clean_fn((text.get("tokenizer_kwargs") or {}).get("clean", "whitespace"))
        self.start = [START] if text["hf_tokenizer_name"].startswith(BEGIN_WITH_A_TOKEN) else []
        self.words = _clips_words()

    def __call__(self, sentences: Sequence[str], length: int) -> Tensor:
        """Return the token ids of sentences, cut off or padded to ``length`` tokens."""
        rows = []
        for sentence in sentences:
            words = [FIRST_WORD + word for word in self.words.encode(self.clean(sentence))]
            row = [*self.start, *words[: length - len(self.start) - 1], END]
            rows.append(row + [PADDING] * (length - len(row)))
        return torch.tensor(rows)


@cache
def _clips_words() -> open_clip.SimpleTokenizer:
    """Return CLIP's tokenizer, which takes a moment to load."""
    return open_clip.SimpleTokenizer()


def tokenizer_of(backbone: str) -> Tokenizer | None:
    """Return the tokenizer of a backbone: CLIP's own, or a stand-in for one of the hub's; None without a text tower."""
    text = model_config(backbone).get("text_cfg")
    if text is None:
        return None
    if text.get("hf_tokenizer_name"):
        return Tokenizer(StandInTokenizer(text), text.get("context_length", 77), backbone)
    return load_tokenizer(text, backbone)


def model_of(backbone: str) -> Any:
    """Return the model of a backbone on the meta device.

    Raises:
        InputError: the backbone is not supported.
    """
    config = model_config(backbone)
    check_config(config, backbone)
    with torch.device("meta"), NoInitialValues():
        return new_model(config).requires_grad_(False).eval()


def encoder_of(backbone: str, model: Any) -> FrozenCLIP:
    """Return our encoder on a model of :func:`model_of`, at the native image size.

    Raises:
        InputError: the model is not supported.
    """
    return FrozenCLIP(model, native_image_size(backbone), name=backbone, tokenizer=tokenizer_of(backbone))


@torch.no_grad()
def gflop_of_both_paths(clip: FrozenCLIP) -> float:
    """Return the GFLOP of the class feature and of the local path's patch features of one image.

    The encoder has to be on the meta device.
    """
    images = torch.empty(1, 3, clip.image_size, clip.image_size, device="meta")
    return gflop(lambda: clip.image.encode(images, layers=[clip.depth], local_start=1))


@torch.no_grad()
def gflop_of_encode_image(clip: FrozenCLIP) -> float:
    """Return the GFLOP of open_clip's own ``encode_image`` for one image of the encoder's size.

    The model is changed: its position table is that of the encoder's image size afterwards.
    """
    images = torch.empty(1, 3, clip.image_size, clip.image_size, device="meta")
    images = images_for_open_clip(clip.model, clip, images)
    return gflop(lambda: clip.model.encode_image(images))
