"""Check the precision of a training and what its callbacks watch, before hours go into it."""

import copy
from collections.abc import Iterable
from typing import Any

from anomalib.metrics import Evaluator
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint

from anomalib_cops.data.mask_use import has_masks
from anomalib_cops.errors import InputError
from anomalib_cops.host.evaluator import CategoryEvaluator

COUNTERS = {"epoch", "step"}
"""Names that checkpoints may be chosen by besides metrics."""

ORIGINS = {"lightning", "pytorch_lightning", "anomalib", "anomalib_cops"}
"""Packages whose callbacks log no metrics of their own."""


def loss_name(term: str) -> str:
    """Return the name that a term of the loss is logged under."""
    return "train_loss" if term == "loss" else f"train_{term}_loss"


def given_terms(model: Any, train_data: Any) -> tuple[str, ...]:
    """Return the names of the terms of the loss that a training gives: without any mask, none of pixels.

    Args:
        model: the torch model.
        train_data: the data set to train on; None if it is not known, so that all terms are expected.
    """
    absent = () if has_masks(train_data) else getattr(model, "pixel_terms", ())
    return tuple(term for term in model.loss_terms if term not in absent)


def check_precision(trainer: Trainer) -> None:
    """Refuse a precision in which prompts become NaN.

    Raises:
        InputError: it is "16-true": in float16 the squares of gradients, by which Adam divides, become 0.
    """
    if trainer.precision == "16-true":
        raise InputError(
            "precision=16-true is good for tests and predictions, but in training the gradients' squares are too small "
            "for float16 and the prompts become NaN; train with 16-mixed, bf16-mixed or bf16-true."
        )


def provide_monitored(trainer: Trainer, terms: Iterable[str], evaluator: Any, val_data: Any = None) -> None:
    """Make the losses and the metrics that early stopping and checkpoints watch available to them.

    Metrics are computed on the held-out part of the auxiliary set, and only if a callback watches them. They do not
    influence the training.

    Args:
        trainer: its callbacks may have a ``monitor``.
        terms: names of the terms of the loss, besides their sum.
        evaluator: the model's, or None. All test metrics of a ``CategoryEvaluator`` may be watched, and the validation
            metrics of any other.
        val_data: the data set of the validation, if it is known; without masks it gives no metrics of pixels.

    Raises:
        InputError: a callback watches a name that will not exist, or takes a smaller metric for a better one.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    there, possible = _figures(evaluator, has_masks(val_data)) if trainer.limit_val_batches else ({}, {})
    known = [*map(loss_name, ("loss", *terms)), *dict.fromkeys([*there, *possible])]
    foreign = any(type(each).__module__.split(".")[0] not in ORIGINS for each in callbacks)
    for callback in callbacks:
        name = getattr(callback, "monitor", None)
        if not isinstance(name, str) or (name in COUNTERS and isinstance(callback, Checkpoint)):
            continue
        if name not in known and not foreign:
            raise InputError(
                f"{type(callback).__name__} watches '{name}', which this training does not give; it gives "
                f"{', '.join(known)}."
            )
        if name in possible and getattr(callback, "mode", "max") != "max":
            raise InputError(f"{type(callback).__name__} takes a smaller {name} for a better one; give it mode='max'.")
        if name in possible and name not in there:
            there[name] = copy.deepcopy(possible[name])
            there[name].reset()
            evaluator.val_metrics.append(there[name])


def _figures(evaluator: Any, masks: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return, by name, the metrics that the evaluator has for the validation, and those that it could have."""
    there: Any = evaluator.val_metrics if isinstance(evaluator, Evaluator) else ()
    possible: Any = evaluator.test_metrics if isinstance(evaluator, CategoryEvaluator) else ()
    defined = [metric for metric in possible if masks or "gt_mask" not in metric.fields]
    return {metric.name: metric for metric in there}, {metric.name: metric for metric in defined}
