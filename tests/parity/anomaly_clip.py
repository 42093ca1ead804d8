"""AnomalyCLIP against its official implementation."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from anomalib_cops.encoder.image import walk as walk_vision
from anomalib_cops.host.pre_processing import ClipPreProcessor, resize_mask
from anomalib_cops.host.prompt_learning import PromptLearningMixin
from anomalib_cops.losses import dice_loss, focal_loss
from anomalib_cops.metrics import sampled_aupro
from anomalib_cops.models.anomaly_clip.official import KEYS
from anomalib_cops.models.anomaly_clip.settings import PRESETS, AnomalyCLIPSettings
from anomalib_cops.models.anomaly_clip.torch_model import WORDS, AnomalyCLIPModel
from anomalib_cops.weights.official import from_official
from tests.parity.compare import Comparison
from tests.parity.fixture import Fixture
from tests.parity.gradients import Named
from tests.support.prompt_tokens import template_ids

# Fractions of the stored array's root mean square, or absolute where values lie in [0, 1].
FEATURES, SCORES, CONTEXT, DEEP, STEPS = 1e-4, 1e-5, 1e-4, 2e-3, 1e-3


def compare(arrays: dict[str, np.ndarray]) -> Comparison:
    """Recompute every stored stage with the project's public code."""
    comparison = Comparison(arrays, results=("out.", "dbg.", "aux.", "metric."))
    fixture = AnomalyCLIPFixture(arrays)
    check_image_tower(comparison, fixture)
    check_text_tower(comparison, fixture)
    check_inference(comparison, fixture)
    check_training(comparison, fixture)
    check_rounding(comparison, fixture)
    check_metrics(comparison, fixture)
    check_preprocessing(comparison, fixture)
    return comparison


class AnomalyCLIPFixture(Fixture):
    """The learner's weights too, and models with them."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        super().__init__(arrays)
        self.learner = self.group("learner.")

    def model(self, **settings: object) -> AnomalyCLIPModel:
        """AnomalyCLIP with the fixture's sizes, its weights and the given settings."""
        clip = self.clip(int(self.arrays["meta.image_size"]))
        deep = [value for name, value in self.learner.items() if name.startswith("compound_prompts_text.")]
        chosen = AnomalyCLIPSettings(
            **{
                "layers": tuple(self.arrays["meta.features_list"].tolist()),
                "local_start": clip.depth - int(self.arrays["meta.dpam_layer"]) + 2,
                "context_tokens": self.learner["ctx_pos"].shape[-2],
                "deep_depth": len(deep),
                "deep_length": len(deep[0]),
                **settings,
            }
        )
        model = AnomalyCLIPModel(clip, chosen)
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        model.load_state_dict(from_official(self.learner, trained, KEYS, "fixture"), strict=False)
        return model

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Images, masks, labels."""
        return self.tensor("in.image"), self.tensor("in.gt"), self.tensor("in.label")


def scale(stored: np.ndarray) -> float:
    """Root mean square of an array."""
    return float(np.sqrt(np.mean(stored.astype(np.float64) ** 2)))


def check_features(comparison: Comparison, name: str, ours: Tensor, tolerance: float = FEATURES) -> None:
    """Compare relative to the stored array's size."""
    comparison.check(name, ours, tolerance * scale(comparison.fixture[name]))


@torch.no_grad()
def check_image_tower(comparison: Comparison, fixture: AnomalyCLIPFixture) -> None:
    """Position table, both paths, features with and without the unused feed-forward of the local path."""
    model, images = fixture.model(), fixture.tensor("in.image")
    clip = model.clip
    check_features(comparison, "dbg.visual_positional_embedding_resized", clip.positions)
    local_blocks = range(model.local_start - 1, clip.depth)
    blocks = clip.image.trunk.blocks
    features = model.encode(images)
    for number, (ordinary, local) in enumerate(walk_vision(blocks, clip.image.embed(images), local_blocks), start=1):
        if number in model.layers:
            tokens = ordinary if local is None else local
            check_features(comparison, f"dbg.vision_tokens.{number}", tokens.transpose(0, 1))
            projected = clip.image.trunk.project(tokens)
            ours = features.patches[model.layers.index(number)]
            torch.testing.assert_close(ours, projected[:, 1:], rtol=0, atol=1e-5)
            check_features(comparison, f"out.patch_features_raw.{number}", projected)
            check_features(comparison, f"out.patch_features.{number}", F.normalize(projected, dim=-1))
    check_features(comparison, "dbg.vision_x_ori_final", ordinary.transpose(0, 1))
    check_features(comparison, "out.image_features_raw", features.cls)
    check_features(comparison, "out.image_features", F.normalize(features.cls, dim=-1))

    forward = fixture.model(local_feed_forward=True).encode(images)
    check_features(comparison, "aux.ffn_true.image_features_raw", forward.cls)
    comparison.check_part("aux.ffn_true.patch_features_raw_last", forward.patches[-1], FEATURES, np.s_[:, 1:])


@torch.no_grad()
def check_text_tower(comparison: Comparison, fixture: AnomalyCLIPFixture) -> None:
    """Prompts, the text tower block by block, text features."""
    model = fixture.model()
    prompts = model.prompts()
    ids = template_ids(model.clip, model.settings.context_tokens, WORDS)
    comparison.check("out.tokenized_prompts", ids, 0)
    check_features(comparison, "out.prompts", prompts)
    for index, (x, _) in enumerate(model.clip.text.walk(prompts, model.deep)):
        if f"dbg.text_hidden_after_block.{index}" in fixture.arrays:
            check_features(comparison, f"dbg.text_hidden_after_block.{index}", x.transpose(0, 1))
    check_features(comparison, "out.text_features_raw", model.clip.text.encode(prompts, model.read_out, model.deep))
    check_features(comparison, "out.text_features", model.text_features().unsqueeze(0))


@torch.no_grad()
def check_inference(comparison: Comparison, fixture: AnomalyCLIPFixture) -> None:
    """From features to scores and maps, through the model's own forward."""
    model, images = fixture.model(), fixture.tensor("in.image")
    features, text = model.encode(images), model.text_features()
    logits = model.image_logits(features, text)
    patches = model.patch_probabilities(features, text)
    levels = model.level_maps(patches)[:, :, 1]
    alone = [model(image) for image in images.split(1)]
    check_features(comparison, "out.image_logits", logits)
    comparison.check("out.text_probs", logits.softmax(dim=-1), SCORES)
    scores = torch.cat([result.pred_score for result in alone])
    comparison.check("out.image_score", scores, SCORES)
    comparison.check("out.quirk_batched_score", scores[:1], SCORES)
    for index, layer in enumerate(model.layers):
        comparison.check_part(f"out.similarity.{layer}", patches[index], SCORES, np.s_[:, 1:], relative=False)
        comparison.check(f"out.anomaly_map_layer.{layer}", levels[index], SCORES)
    count = len(model.layers)
    comparison.check("out.anomaly_map_before_gaussian", levels.sum(dim=0), count * SCORES)
    comparison.check("out.anomaly_map", torch.cat([result.anomaly_map for result in alone]) * count, count * SCORES)


def check_training(comparison: Comparison, fixture: AnomalyCLIPFixture) -> None:
    """Loss terms and gradients of one batch, parameters after one and three steps."""
    model = fixture.model()
    images, masks, labels = fixture.batch()
    features, text = model.encode(images), model.encode_prompts()
    levels = model.level_maps(model.patch_probabilities(features, text))
    for layer, maps in zip(model.layers, levels, strict=True):
        check_features(comparison, f"out.loss.focal.{layer}", focal_loss(maps, masks))
        check_features(comparison, f"out.loss.dice_abnormal.{layer}", dice_loss(maps[:, 1], masks))
        check_features(comparison, f"out.loss.dice_normal.{layer}", dice_loss(maps[:, 0], 1 - masks))
    terms = model.loss(images, masks, labels)
    local = terms["focal"] + terms["dice_anomalous"] + terms["dice_normal"]
    check_features(comparison, "out.loss.image_ce", terms["image"])
    check_features(comparison, "out.loss.local_sum", local)
    check_features(comparison, "out.loss.local_times_lam", model.settings.local_weight * local)
    check_features(comparison, "out.loss.total", terms["loss"])
    terms["loss"].backward()
    for name, (_, gradient) in named_gradients(model).items():
        tolerance = DEEP if name.startswith("compound") else CONTEXT
        check_features(comparison, f"out.grad.{name}", gradient, tolerance)
        check_features(comparison, f"out.grad_norm.{name}", gradient.norm(), tolerance)
    check_steps(comparison, fixture)


def check_steps(comparison: Comparison, fixture: AnomalyCLIPFixture) -> None:
    """Three optimiser steps on the same batch."""
    model, rate = fixture.model(), PRESETS["default"]["learning_rate"]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=rate, betas=PromptLearningMixin.betas)
    trace = []
    for step in range(1, len(fixture.arrays["out.train3.loss_trace"]) + 1):
        optimizer.zero_grad()
        terms = model.loss(*fixture.batch())
        terms["loss"].backward()
        optimizer.step()
        trace.append([(terms["loss"] - terms["image"]).item(), terms["image"].item()])
        check_parameters(comparison, fixture, model, step, rate)
    check_features(comparison, "out.train3.loss_trace", torch.tensor(trace), STEPS)


def check_parameters(
    comparison: Comparison, fixture: AnomalyCLIPFixture, model: AnomalyCLIPModel, step: int, rate: float
) -> None:
    """Adam divides by the size of a gradient, so entries whose gradient is rounding noise may go either way."""
    for name, (value, _) in named_gradients(model).items():
        key = f"out.train{step}.param_after.{name}"
        if key in fixture.arrays:
            gradient = fixture.arrays[f"out.grad.{name}"]
            # Gradients of deep prompts went through float16, so more of them are noise.
            where = np.abs(gradient) > (0.2 if name.startswith("compound") else 0.02) * scale(gradient)
            comparison.check(key, value, 2.1 * step * rate)
            comparison.check(key, value, STEPS * max(scale(fixture.arrays[key]), 20 * rate), where=where)
    for name in fixture.learner:
        if name.startswith("compound_prompt_projections"):
            key = f"out.train{step}.param_after.{name}"
            if key in fixture.arrays:
                comparison.check(key, fixture.learner[name], 0)


def named_gradients(model: AnomalyCLIPModel) -> Named:
    """Value and gradient of every trained parameter under its official names and in the official shape."""
    found = {}
    for ours, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, ours
            for state, official in enumerate(KEYS.names(ours)):
                pair = parameter.detach(), parameter.grad
                found[official] = tuple(each[state][None, None] for each in pair) if ours in KEYS.stacked else pair
    return found


def check_rounding(comparison: Comparison, fixture: AnomalyCLIPFixture) -> None:
    """Deep prompts that float16 cannot hold, rounded and not; gradients without rounding."""
    replaced = fixture.group("aux.f32_")
    originals = fixture.learner
    for name in replaced:
        if name in originals:
            comparison.skip(f"aux.f32_{name}", "an input")
    fixture.learner = {**originals, **{name: value for name, value in replaced.items() if name in originals}}
    for key, half in (("aux.f32_text_features_raw", True), ("aux.f32_text_features_raw_without_half", False)):
        model = fixture.model(half_deep_prompts=half)
        raw = model.clip.text.encode(model.prompts(), model.read_out, model.deep)
        # Rounding moves the features by about 1e-4 of their size, so the comparison has to be finer than that.
        check_features(comparison, key, raw, FEATURES / 10)
    fixture.learner = originals
    model = fixture.model(half_deep_prompts=False)
    model.loss(*fixture.batch())["loss"].backward()
    for name, (_, gradient) in named_gradients(model).items():
        if f"aux.grad_without_half.{name}" in fixture.arrays:
            check_features(comparison, f"aux.grad_without_half.{name}", gradient, CONTEXT)


def check_metrics(comparison: Comparison, fixture: AnomalyCLIPFixture) -> None:
    """The papers' figures, on a stored case with ties and on the model's own maps."""
    arrays = fixture.arrays
    for name in ("masks", "anomaly_maps", "gt_sp", "pr_sp"):
        comparison.skip(f"metric.{name}", "an input")
    cases = {
        "metric.": ("metric.anomaly_maps", arrays["metric.masks"][:, 0] > 0, "metric.gt_sp", "metric.pr_sp"),
        "out.metric.": ("out.anomaly_map", arrays["in.gt"] > 0, "in.label", "out.image_score"),
    }
    for key, (maps_name, masks, labels_name, scores_name) in cases.items():
        maps, labels, scores = arrays[maps_name], arrays[labels_name], arrays[scores_name]
        figures = {
            "image_auroc": binary_auroc(torch.from_numpy(scores), torch.from_numpy(labels).long()),
            "image_ap": binary_average_precision(torch.from_numpy(scores), torch.from_numpy(labels).long()),
            "pixel_auroc": binary_auroc(torch.from_numpy(maps).flatten(), torch.from_numpy(masks).flatten().long()),
            "pixel_aupro": sampled_aupro(maps.astype(np.float32), masks),
        }
        for name, value in figures.items():
            comparison.check(key + name, np.array(float(value)), SCORES)


def check_preprocessing(comparison: Comparison, fixture: AnomalyCLIPFixture) -> None:
    """From 8-bit picture and mask to model input."""
    size = (int(fixture.arrays["meta.image_size"]),) * 2
    picture = fixture.tensor("in.pre_rgb_u8").permute(2, 0, 1) / 255
    comparison.check("out.pre_image", ClipPreProcessor(size).transform(picture), SCORES)
    comparison.check("out.pre_mask", resize_mask(fixture.tensor("in.pre_mask_u8").unsqueeze(0), size), SCORES)
    masks = (fixture.tensor("in.mask_raw")[:, 0] > 0.5).float()
    comparison.check("in.gt", masks, 0)
