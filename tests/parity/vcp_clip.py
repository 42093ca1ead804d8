"""VCP-CLIP against its official implementation."""

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from anomalib_cops.alignment import to_grid
from anomalib_cops.encoder.image import walk as walk_vision
from anomalib_cops.host.pre_processing import ClipPreProcessor, resize_mask
from anomalib_cops.host.prompt_learning import PromptLearningMixin
from anomalib_cops.losses import dice_loss, focal_loss
from anomalib_cops.models.vcp_clip.official import KEYS
from anomalib_cops.models.vcp_clip.prompts import SENTENCES
from anomalib_cops.models.vcp_clip.settings import PRESETS, TEMPERATURE_RATE, VCPCLIPSettings
from anomalib_cops.models.vcp_clip.torch_model import VCPCLIPModel
from anomalib_cops.weights.official import from_official
from tests.parity.compare import Comparison
from tests.parity.fixture import Fixture
from tests.support.prompt_tokens import padded, sentence_ids

FEATURES, MAPS, GRADIENT, ROUNDING, NO_GRADIENT, AFTER_STEP = 1e-4, 2e-5, 1e-3, 1e-7, 1e-5, 1e-6
STATES = ("normal", "abnormal")
INERT = ("New_Lan_Embed.prompt_linear1.fc.bias", "Zero_try.k_proj_pre_1.bias")


def compare(arrays: dict[str, np.ndarray]) -> Comparison:
    """Recompute every stored stage with the project's public code."""
    comparison = Comparison(arrays)
    fixture = VCPFixture(arrays)
    check_preprocessing(comparison, fixture)
    check_encoder(comparison, fixture)
    check_text(comparison, fixture)
    check_maps(comparison, fixture)
    check_results(comparison, fixture)
    check_training(comparison, fixture)
    return comparison


class VCPFixture(Fixture):
    """The learner's weights too, and models with them."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        super().__init__(arrays)
        self.config = json.loads(str(arrays["config_json"]))
        self.learner = self.group("learner.")
        self.images, self.masks = self.tensor("in.image"), self.tensor("in.mask")

    def model(self, **settings: object) -> VCPCLIPModel:
        """VCP-CLIP with the fixture's sizes, its weights and the given settings, in evaluation mode."""
        clip = self.clip(
            self.config["image_size"], quick_gelu=False, position_resize="bicubic", position_antialias=True
        )
        chosen = VCPCLIPSettings(
            layers=tuple(self.config["features"]),
            context_tokens=self.config["prompt_len"],
            deep_length=self.config["deep_prompt_len"],
        )
        model = VCPCLIPModel(clip, replace(chosen, **settings)).eval()
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        model.load_state_dict(from_official(self.learner, trained, KEYS, "fixture"), strict=False)
        return model


def check_preprocessing(comparison: Comparison, fixture: VCPFixture) -> None:
    """From 8-bit pictures and masks to model input."""
    size = (fixture.config["image_size"],) * 2
    pictures = fixture.tensor("in.raw_u8").permute(0, 3, 1, 2) / 255
    masks = resize_mask(fixture.tensor("in.raw_mask_u8"), size)
    comparison.check("in.image", ClipPreProcessor(size).transform(pictures), MAPS)
    comparison.check("in.mask", masks > 0.5, 0)


@torch.no_grad()
def check_encoder(comparison: Comparison, fixture: VCPFixture) -> None:
    """Position table, tapped blocks with their class tokens, global feature."""
    model, images = fixture.model(), fixture.images
    comparison.check("out.visual_positional_embedding", model.clip.positions, FEATURES)
    tokens = model.encode(images)
    blocks = model.clip.image.trunk.blocks
    tapped = iter(tokens.patches)
    for number, (ordinary, _) in enumerate(walk_vision(blocks, model.clip.image.embed(images)), start=1):
        if number in model.layers:
            whole = torch.cat([ordinary[:, :1], next(tapped)], dim=1)
            comparison.check(f"out.patch_tokens.{number}", whole, FEATURES)
    comparison.check("out.image_features", model.clip.image.project_cls(tokens.cls), FEATURES)


@torch.no_grad()
def check_text(comparison: Comparison, fixture: VCPFixture) -> None:
    """Context tokens, token ids, and the text tower from its first input to its features."""
    model = fixture.model()
    frozen, deep = model.clip.model, model.deep
    context = model.context(model.encode(fixture.images))
    comparison.check("out.class_token", context, FEATURES)
    comparison.check("out.token_ids", sentence_ids(model.clip, SENTENCES), 0)
    comparison.check("out.eot_index", np.array(model.sentences.read_outs[0]), 0)
    whole = padded(model.prompts(context), model.clip)
    shape = whole.shape[:2]
    first = deep(whole.flatten(0, 1) + frozen.positional_embedding, 0)[:, : whole.shape[2]].unflatten(0, shape)
    ends = model.read_prompts(model.prompts(context))
    normed = frozen.ln_final(deep.norm(ends))
    for index, state in enumerate(STATES):
        comparison.check(f"out.text_block0_input.{state}", first[:, index], FEATURES)
        comparison.check(f"out.text_last_block_output_eot.{state}", ends[:, index], FEATURES)
        comparison.check(f"out.text_ln_final_eot.{state}", normed[:, index], FEATURES)
    comparison.check("out.text_features", model.text_features(ends), FEATURES)
    general = fixture.model(use_global=False)
    context = general.context(general.encode(fixture.images))
    for text in general.text_features(general.read_prompts(general.prompts(context))):
        comparison.check("out.noglobal.text_features", text, FEATURES)


@torch.no_grad()
def check_maps(comparison: Comparison, fixture: VCPFixture) -> None:
    """Both parts layer by layer, their means, and the fused map."""
    model = fixture.model()
    tokens = model.encode(fixture.images)
    text = model.text_features(model.read_prompts(model.prompts(model.context(tokens))))
    for index, layer in enumerate(model.layers):
        projected = model.pre.project[index](tokens.patches[index])
        comparison.check(f"out.pre_tokens.{layer}", projected, FEATURES)
        comparison.check(f"out.post_text.{layer}", model.post.update(text, tokens.patches[index]), FEATURES)
    means = {}
    for name, part in (("pre", model.pre), ("post", model.post)):
        logits = part(tokens.patches, text)
        maps = model.maps(logits)
        for index, layer in enumerate(model.layers):
            comparison.check(f"out.{name}_logits.{layer}", to_grid(logits[index].mT), FEATURES)
            comparison.check(f"out.{name}_map.{layer}", maps[index, :, 1], MAPS)
            comparison.check(f"out.loss.{name}_focal.{layer}", focal_loss(maps[index], fixture.masks), MAPS)
            comparison.check(f"out.loss.{name}_dice.{layer}", dice_loss(maps[index, :, 1], fixture.masks), MAPS)
        means[name] = maps[:, :, 1].mean(dim=0)
        comparison.check(f"out.{name}_map_mean", means[name], MAPS)
    comparison.check("out.fused", model.fuse(**means), MAPS)


def check_results(comparison: Comparison, fixture: VCPFixture) -> None:
    """What a user gets, as it is and stretched over the batch; the official score is the sum of two means."""
    result = fixture.model()(fixture.images)
    comparison.check("out.fused_gauss", result.anomaly_map, MAPS)
    comparison.check("out.image_score", 2 * result.pred_score, MAPS)
    stretched = fixture.model(min_max_over="batch")(fixture.images)
    raw = comparison.fixture["out.fused_gauss"], comparison.fixture["out.image_score"]
    map_spread, score_spread = (max(float(np.ptp(values)), MAPS) for values in raw)
    comparison.check("out.fused_gauss_minmax", stretched.anomaly_map, MAPS / min(1, map_spread))
    comparison.check("out.image_score_minmax", stretched.pred_score, MAPS / min(1, score_spread))


def check_training(comparison: Comparison, fixture: VCPFixture) -> None:
    """Losses of a batch, gradients of all parameters, and one step of the optimiser."""
    model = fixture.model()
    rates = {"rate": PRESETS["visa"]["learning_rate"], "temperature_rate": TEMPERATURE_RATE}
    optimizer = torch.optim.Adam(model.parameter_groups(**rates), betas=PromptLearningMixin.betas)
    total, base, new = losses(model, fixture)
    total.backward()
    for name, value in {"total": total, "base_pre": base, "new_post": new}.items():
        comparison.check(f"out.loss.{name}", value, MAPS)
    for official, parameter in named(model):
        check_gradient(comparison, official, parameter.grad)
    for official in KEYS.unused(dict(model.named_parameters())):
        comparison.check(f"out.grad_none.{official}", np.array(1), 0)
    optimizer.step()
    for official, parameter in named(model):
        if official not in INERT:
            check_step(comparison, official, parameter, rates)
    after = torch.stack(losses(model, fixture))
    comparison.check("out.step1.loss", after, MAPS * max(1, after.max().item()))


def losses(model: VCPCLIPModel, fixture: VCPFixture) -> tuple[Tensor, Tensor, Tensor]:
    """Total, Pre and Post loss."""
    terms = model.loss(fixture.images, fixture.masks, fixture.tensor("in.labels"))
    return terms["loss"], terms["pre_focal"] + terms["pre_dice"], terms["post_focal"] + terms["post_dice"]


def named(model: VCPCLIPModel) -> Iterator[tuple[str, Tensor]]:
    """Every trained parameter under its official name."""
    for ours, parameter in model.named_parameters():
        if parameter.requires_grad:
            (official,) = KEYS.names(ours)
            yield official, parameter


def entries(comparison: Comparison, official: str, values: Tensor) -> Tensor:
    """The entries that the fixture stores."""
    return values.detach().flatten()[torch.from_numpy(comparison.fixture[f"out.grad_idx.{official}"]).long()]


def size(comparison: Comparison, official: str, parameter: Tensor) -> tuple[float, float]:
    """Norm and root mean square of the stored gradient."""
    norm = float(comparison.fixture[f"out.grad_norm.{official}"])
    return norm, norm / parameter.numel() ** 0.5


def check_gradient(comparison: Comparison, official: str, gradient: Tensor) -> None:
    """Norm and stored entries, these relative to the root mean square; where it is zero by analysis, that it is."""
    comparison.skip(f"out.grad_idx.{official}", "names the entries that are stored, an input")
    norm, rms = size(comparison, official, gradient)
    inert = official in INERT
    # The floor is float32's rounding in sums over all pixels, for a gradient that nearly cancels.
    comparison.check(f"out.grad_norm.{official}", gradient.norm(), NO_GRADIENT if inert else GRADIENT * norm)
    kept = entries(comparison, official, gradient)
    comparison.check(f"out.grad_val.{official}", kept, NO_GRADIENT if inert else GRADIENT * rms + ROUNDING)


def check_step(comparison: Comparison, official: str, parameter: Tensor, rates: dict[str, float]) -> None:
    """Entries after one step, where the gradient is more than rounding noise (Adam divides by its size)."""
    gradient = comparison.fixture[f"out.grad_val.{official}"]
    _, rms = size(comparison, official, parameter)
    values = entries(comparison, official, parameter)
    comparison.check(f"out.step1.val.{official}", values, AFTER_STEP, where=np.abs(gradient) > 0.01 * rms)
    # Elsewhere both have gone at most one step, in whatever direction.
    rate = rates["temperature_rate" if "prompt_temp" in official else "rate"]
    comparison.check(f"out.step1.val.{official}", values, 2.1 * rate)
