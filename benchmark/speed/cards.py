"""Measure CoPS on a graphics card: precisions, compilation and batches, beside a plain computation.

The plain computation is that of the official code: one image after the other in float32, with attention matrices that
are kept, and with every token of every prompt. It is made of the same blocks with the shortcuts taken out, so it shows
what these are worth and nothing else.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.encoder.blocks import Block
from anomalib_cops.encoder.load import build, model_config, native_image_size
from anomalib_cops.encoder.text import TextTower
from anomalib_cops.models.cops.torch_model import CoPSModel

from .stopwatch import gflop, interleaved

VARIANTS: tuple[tuple[str, torch.dtype | None, bool], ...] = (
    ("float32", None, False),
    ("bfloat16", torch.bfloat16, False),
    ("bfloat16, compiled", torch.bfloat16, True),
)
PLAIN = "plain, float32, one by one"


def measure_card(
    backbone: str,
    device: str,
    batches: Sequence[int],
    repetitions: int,
    side: int,
    variants: Sequence[tuple[str, torch.dtype | None, bool]] = VARIANTS,
) -> dict[str, Any]:
    """Measure images per second of CoPS with random weights.

    Args:
        backbone: open_clip name.
        device: "cuda"; "cpu" checks that it works.
        batches: numbers of images that go through the model at a time.
        repetitions: number of runs of each task.
        side: side of the bfloat16 product whose rate the others are shares of.
        variants: name, precision of autocast, and whether the model is compiled.

    Returns:
        Rate of the product in 10^12 operations per second, and rows with the name of the computation, images per batch,
        images per second, how many times those of the plain computation, and the share of the product's rate.
    """
    size = native_image_size(backbone)
    torch.manual_seed(0)
    network = build(model_config(backbone)).to(device)
    with plain():
        slow = _model(network, size, device)
    fast = _model(network, size, device)
    square = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    rows: list[dict[str, Any]] = []
    with torch.inference_mode():
        product = interleaved({"product": lambda: square @ square}, 10)["product"]["least"]
        rate = 2 * side**3 / product
        images = torch.randn(max(batches), 3, size, size, device=device)
        operations = 1e9 * gflop(lambda: fast(images[:1]))
        with plain():
            alone = 1 / _seconds(slow, images[:1], repetitions)
        rows.append({"name": PLAIN, "batch": 1, "images_per_second": alone, "times_plain": 1.0, "share": None})
        for name, precision, is_compiled in variants:
            run: Callable[[Tensor], Any] = torch.compile(fast) if is_compiled else fast
            context: AbstractContextManager[Any] = torch.autocast(device, precision) if precision else nullcontext()
            for batch in batches:
                with context:
                    speed = batch / _seconds(run, images[:batch], repetitions)
                share = operations * speed / rate
                rows.append(
                    {
                        "name": name,
                        "batch": batch,
                        "images_per_second": speed,
                        "times_plain": speed / alone,
                        "share": share,
                    }
                )
    return {"backbone": backbone, "image_size": size, "product_tflops": rate / 1e12, "rows": rows}


@contextmanager
def plain() -> Iterator[None]:
    """Compute without shortcuts: keep attention matrices, and run all tokens of all prompts."""

    def attend(block: Block, query: Tensor, key: Tensor, value: Tensor, **_: Any) -> Tensor:
        weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
        return block.leave_attention((weights @ value).transpose(1, 2).flatten(2))

    kept = Block.attend, TextTower.causal
    Block.attend = attend  # type: ignore[method-assign, assignment]
    # A tower that is not causal runs whole prompts; the mask that is left out costs next to nothing.
    TextTower.causal = False  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        Block.attend, TextTower.causal = kept  # type: ignore[method-assign]


def _model(network: Any, size: int, device: str) -> CoPSModel:
    return CoPSModel(FrozenCLIP(network, size)).to(device).requires_grad_(False).eval()


def _seconds(run: Callable[[Tensor], Any], images: Tensor, repetitions: int) -> float:
    run(images)  # warm up
    return interleaved({"run": lambda: run(images)}, repetitions)["run"]["median"]
