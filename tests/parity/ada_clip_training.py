"""Training of AdaCLIP against its official implementation."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anomalib_cops.models.ada_clip import fusion
from anomalib_cops.models.ada_clip.lightning_model import AdaCLIP
from anomalib_cops.models.ada_clip.official import KEYS
from anomalib_cops.models.ada_clip.settings import PRESETS
from anomalib_cops.models.ada_clip.torch_model import AdaCLIPModel
from tests.parity.ada_clip_fixture import ROUNDED, AdaCLIPFixture, Stages, Tolerance
from tests.parity.compare import Comparison
from tests.parity.gradients import Named

AFTER_STEP = 2e-5


def check_training(
    comparison: Comparison,
    fixture: AdaCLIPFixture,
    key: str,
    tolerance: Tolerance,
    rows: list[int],
    **settings: Any,
) -> None:
    """Loss terms, training outputs, gradients, and parameters after one step."""
    batch = fixture.batch(rows)
    model = fixture.model(**{"dice_over": "row", "seed": fixture.seeds[rows[0]], **settings})
    np.random.seed(fixture.seeds[rows[0]])
    terms = model.loss(*batch)
    terms["loss"].backward()
    check_losses(comparison, model, key, tolerance, batch, terms, fixture.seeds[rows[0]])
    named = {official: each for ours, each in gradients(model).items() for official in KEYS.names(ours)}
    named = dict(sorted(named.items()))
    comparison.check_text(f"{key}grad_names", list(named))
    for row, (name, (_, gradient)) in enumerate(named.items()):
        size = float(fixture.arrays[f"{key}grad_norm"][row])
        entry = 2 * size / gradient.numel() ** 0.5
        comparison.check_part(f"{key}grad_norm", gradient.norm(), size * tolerance.gradient, row, relative=False)
        head = gradient.flatten()[:16]
        comparison.check_part(f"{key}grad_head16", head, entry * tolerance.gradient, row, relative=False)
        if f"{key}grad.{name}" in fixture.arrays:
            comparison.check(f"{key}grad.{name}", gradient, entry * tolerance.gradient)
    if f"{key}step_head16" in fixture.arrays or tolerance is ROUNDED:
        check_step(comparison, fixture, model, key, named)


@torch.no_grad()
def check_losses(
    comparison: Comparison,
    model: AdaCLIPModel,
    key: str,
    tolerance: Tolerance,
    batch: tuple[Tensor, Tensor, Tensor, list[str]],
    terms: Stages,
    seed: int,
) -> None:
    """Loss terms layer by layer, and the outputs that they compare."""
    images, masks, _, names = batch
    features, text = model.encode(images, names)
    logits = model.patch_logits(features.patches, text)
    maps = model.layer_maps(logits)
    found = {"loss.cls_focal": terms["image"], "loss.total": terms["loss"]}
    official = {"focal": "seg_focal", "dice_anomalous": "dice_abnormal", "dice_normal": "dice_normal"}
    for ours, layers in model.map_losses(maps, masks).items():
        torch.testing.assert_close(layers.sum(), terms[ours])
        found |= {f"loss.{official[ours]}.{index}": value for index, value in enumerate(layers)}
    for name, value in found.items():
        comparison.check(key + name, value, tolerance.loss * max(1e-2, abs(float(comparison.fixture[key + name]))))
    if key.startswith("nohalf."):
        return
    np.random.seed(seed)
    score = model.image_probabilities(model.image_feature(features, logits), text)
    comparison.check(f"{key}score2", score, tolerance.stage)
    if key.startswith("out."):
        comparison.check(f"{key}maps_abnormal", maps[:, :, 1].transpose(0, 1), tolerance.stage)


def gradients(model: AdaCLIPModel) -> Named:
    """Value before the step and gradient of every parameter that has one."""
    found = ((name, p) for name, p in model.named_parameters() if p.grad is not None)
    return {name: (p.detach().clone(), p.grad.clone()) for name, p in found}


def check_step(comparison: Comparison, fixture: AdaCLIPFixture, model: AdaCLIPModel, key: str, named: Named) -> None:
    """Parameters after one step, where the gradient is more than rounding noise (Adam divides by its size)."""
    rate = PRESETS["default"]["learning_rate"]
    AdaCLIP.configure_optimizers(SimpleNamespace(model=model, learning_rate=rate, betas=AdaCLIP.betas)).step()
    after = {official: p for ours, p in model.named_parameters() for official in official_names(ours)}
    for row, (name, (before, gradient)) in enumerate(named.items()):
        change = (after[name] - before).norm()
        stored = fixture.arrays[f"{key}grad_head16"][row]
        clear = np.abs(stored) > 0.05 * float(gradient.norm()) / gradient.numel() ** 0.5
        head = after[name].flatten()[:16]
        if clear.any():
            comparison.check_part(f"{key}step_head16", head[clear], AFTER_STEP, (row, clear), relative=False)
        # Elsewhere both have gone at most one step, in whatever direction.
        comparison.check_part(f"{key}step_head16", head, 2.1 * rate, row, relative=False)
        comparison.check_part(f"{key}step_delta_norm", change, 1e-2, row)


def official_names(ours: str) -> tuple[str, ...]:
    """Official names of a parameter; none for the encoder's."""
    return () if ours.startswith("clip.") else KEYS.names(ours)


def check_batch(comparison: Comparison, fixture: AdaCLIPFixture) -> None:
    """A true batch with static prompts, clustered one image after the other from one stream of random numbers."""
    rows = list(range(len(fixture.images)))
    settings = {"prompts": "S", "clustering": "stream"}
    model = fixture.model(**settings)
    np.random.seed(fixture.seeds[0])
    result = model(fixture.images, fixture.classes)
    with torch.no_grad():
        features, text = model.encode(fixture.images, fixture.classes)
        logits = model.patch_logits(features.patches, text)
        indices = fusion.strongest(model.patch_probability(logits), model.settings.clusters)
        np.random.seed(fixture.seeds[0])
        labels = fusion.cluster(fusion.choose(features.patches, indices), model.settings.clusters, None)
    comparison.check("batch2_S.image_score", result.pred_score, ROUNDED.stage)
    comparison.check("batch2_S.anomaly_map_s4", model.anomaly_map(logits)[:, ::4, ::4], ROUNDED.stage)
    comparison.check("batch2_S.hsf_labels", labels, 0)
    check_training(comparison, fixture, "batch2_S.", ROUNDED, rows, **settings, dice_over="image")
