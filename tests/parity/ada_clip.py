"""AdaCLIP against its official implementation."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anomalib_cops.alignment import gaussian_smooth
from anomalib_cops.clip.vision import walk as walk_vision
from anomalib_cops.models.ada_clip import fusion
from anomalib_cops.models.ada_clip.lightning_model import AdaCLIP
from anomalib_cops.models.ada_clip.official import FIRST_TEXT_PROMPT, KEYS
from anomalib_cops.models.ada_clip.sentences import N_NORMAL, sentences
from anomalib_cops.models.ada_clip.settings import PRESETS, AdaCLIPSettings
from anomalib_cops.models.ada_clip.torch_model import AdaCLIPModel
from anomalib_cops.official import from_official
from anomalib_cops.preprocessing import ClipPreProcessor, resize_mask
from tests.parity.compare import Comparison
from tests.parity.fixture import Fixture
from tests.parity.gradients import Named


@dataclass(frozen=True)
class Tolerance:
    """Absolute for what is at most 1, else a share of the stored array's root mean square."""

    stage: float
    loss: float
    gradient: float


# A prompt that lies between two float16 numbers goes to either; nothing else is allowed to differ by as much.
ROUNDED, EXACT = Tolerance(1e-3, 1e-3, 5e-3), Tolerance(1e-4, 1e-4, 1e-3)
UNPROMPTED = 1e-5
AFTER_STEP = 2e-5
TIE = 1e-6
VARIANTS = ("V_SD", "L_SD", "VL_S", "V_D", "none", "VL_SD_nohsf")
VARIANT_STAGES = ("image_score", "anomaly_map_s4", "text_features", "proj_cls", "proj_patch")
EXACT_STAGES = ("pooled", "logits", "proj_cls", "text_features", "hsf_topk", "hsf_labels", "hsf_feature", "image_score")
Stages = dict[str, Tensor]


def compare(arrays: dict[str, np.ndarray]) -> Comparison:
    """Recompute every stored stage with the project's public code."""
    comparison = Comparison(arrays, results=("out.", "nohalf.", "variant.", "batch2_S."))
    fixture = AdaCLIPFixture(arrays)
    check_inputs(comparison, fixture)
    check_inference(comparison, fixture)
    check_sweep(comparison, fixture)
    check_exact(comparison, fixture)
    for name in dict.fromkeys([*VARIANTS, *(key.split(".")[1] for key in arrays if key.startswith("variant."))]):
        check_variant(comparison, fixture, name)
    for index in range(len(fixture.images)):
        check_training(comparison, fixture, f"out.train.{index}.", ROUNDED, [index])
        check_training(comparison, fixture, f"nohalf.train.{index}.", EXACT, [index], half_prompts=False)
    check_batch(comparison, fixture)
    return comparison


class AdaCLIPFixture(Fixture):
    """The learner's weights too, and models with them."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        super().__init__(arrays)
        self.config = json.loads(str(arrays["in.config"]))
        self.classes: list[str] = json.loads(str(arrays["in.classes"]))
        self.learner = self.group("learner.")
        self.images = self.tensor("in.image")
        self.seeds = [int(seed) for seed in arrays["in.kmeans_seed"]]
        self.encoder = self.clip(self.images.shape[-1], quick_gelu=False, position_resize="bicubic")

    def model(self, **settings: Any) -> AdaCLIPModel:
        """AdaCLIP with the fixture's sizes, its weights and the given settings."""
        chosen = AdaCLIPSettings(
            branch=self.config.get("branch", "VL"),
            prompts=self.config.get("type", "SD"),
            depth=self.config["depth"],
            length=self.config["length"],
            layers=tuple(self.config["features"]),
            clusters=self.config["k_clusters"],
            seed=self.seeds[0],
        )
        model = AdaCLIPModel(self.encoder, replace(chosen, **settings))
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        wanted = {*KEYS.unused(trained), *(official for name in trained for official in KEYS.names(name))}
        # Variants leave prompts away; what the whole model has must be all that there is.
        whole = not {"branch", "prompts"} & set(settings) and chosen.depth > 1
        official = {name: value for name, value in self.learner.items() if whole or name in wanted}
        model.load_state_dict(from_official(official, trained, KEYS, "fixture"), strict=False)
        return model

    def singles(self, model: AdaCLIPModel) -> Iterable[tuple[int, Tensor, str]]:
        """Images one by one with their class names; k-means starts from the image's own seed."""
        for index, (image, name, seed) in enumerate(zip(self.images.split(1), self.classes, self.seeds, strict=True)):
            model.settings = replace(model.settings, seed=seed)
            yield index, image, name

    def batch(self, rows: list[int]) -> tuple[Tensor, Tensor, Tensor, list[str]]:
        """Images, masks, labels and class names."""
        masks, labels = self.tensor("in.mask")[rows, 0], self.tensor("in.label")[rows]
        return self.images[rows], masks, labels, [self.classes[row] for row in rows]


def check_inputs(comparison: Comparison, fixture: AdaCLIPFixture) -> None:
    """From 8-bit picture, mask and class name to model input; the parameter that the official code never trains."""
    model, size = fixture.model(), fixture.images.shape[-1]
    transform = ClipPreProcessor((size, size)).transform
    for index, name in enumerate(fixture.classes):
        picture = fixture.tensor(f"in.image_u8.{index}").permute(2, 0, 1) / 255
        mask = resize_mask(fixture.tensor(f"in.mask_u8.{index}").unsqueeze(0), (size, size))
        comparison.check_part("in.image", transform(picture), UNPROMPTED, index, relative=False)
        comparison.check_part("in.mask_resized", mask, UNPROMPTED, index, relative=False)
        comparison.check_part("in.mask", (mask > 0.5).float(), 0, index, relative=False)
        ids = model.clip.tokenize(sentences(name))
        comparison.check(f"in.tokens_normal.{index}", ids[:N_NORMAL], 0)
        comparison.check(f"in.tokens_abnormal.{index}", ids[N_NORMAL:], 0)
    comparison.check_text("in.params_without_grad", [FIRST_TEXT_PROMPT] if model.text_prompts is not None else [])
    comparison.check("out.visual_pos_embed_resized", model.clip.positions, UNPROMPTED)


@torch.no_grad()
def stages(model: AdaCLIPModel, image: Tensor, name: str, injected: tuple[Tensor, Tensor] | None = None) -> Stages:
    """All stages of one image by the fixture's names.

    Args:
        model: with the image's k-means seed in its settings.
        image: a batch of one.
        name: of its class.
        injected: indices and cluster numbers of the patches that are fused, instead of the model's own.
    """
    clip, chosen = model.clip, model.settings
    vision, text = model.dynamic_prompts(image)
    walk = walk_vision if model.vision_prompts is None else model.vision_prompts.walk(vision)
    embedded = clip.embed_image(image)
    tokens = model.image_tokens(image, vision)
    features = model.project(tokens)
    each = model.sentence_features([name], text)
    states = model.text_features([name], text)
    logits = model.patch_logits(features.patches, states)
    found = {
        "ln_pre": embedded,
        "image_feature_unprompted": model.unprompted(image),
        "dynamic_visual_prompts": vision,
        "dynamic_text_prompts": text,
        "pooled": clip.project_image(tokens.cls),
        "proj_cls": features.cls,
        "sentences_normal": each[:, :N_NORMAL],
        "sentences_abnormal": each[:, N_NORMAL:],
        "text_features": states.mT,
        "hsf_prob_map": model.patch_probability(logits),
        "anomaly_map": model.anomaly_map(logits),
    }
    blocks = clip.model.visual.transformer.resblocks
    for number, (x, _) in enumerate(walk(blocks, embedded, range(0)), start=1):
        if number in model.layers:
            index = model.layers.index(number)
            found[f"patch_tokens.{number}"] = x[:, : embedded.shape[1]]
            found[f"proj_patch.{number}"] = features.patches[index]
            found[f"logits.{number}"] = logits[index]
            assert torch.equal(tokens.patches[index], x[:, 1 : embedded.shape[1]])
    found["anomaly_map_s4"] = found["anomaly_map"][:, ::4, ::4]
    found["anomaly_map_gauss4"] = gaussian_smooth(found["anomaly_map"], 4)
    fused = features.cls
    if chosen.fusion:
        indices = fusion.strongest(found["hsf_prob_map"], chosen.clusters)
        if injected is not None:
            indices = like(indices, injected[0], found["hsf_prob_map"])
        patches = fusion.choose(features.patches, indices)
        labels = fusion.cluster(patches, chosen.clusters, chosen.seed)
        found |= {"hsf_topk": indices, "hsf_labels": labels}
        found["hsf_feature"] = fusion.gather_clusters(patches, labels if injected is None else injected[1])
        fused = fusion.fuse(found["hsf_feature"], features.cls)
    found["image_score"] = model.image_probabilities(fused, states)[:, 1]
    return {stage: value for stage, value in found.items() if value is not None}


def like(ours: Tensor, stored: Tensor, probability: Tensor) -> Tensor:
    """The stored order of patches where it differs from ours in ties only."""
    same = torch.equal(ours.sort().values, stored.sort().values)
    tied = (probability.gather(1, ours) - probability.gather(1, stored)).abs().max() <= TIE if same else False
    return stored if tied else ours


def collect(model: AdaCLIPModel, fixture: AdaCLIPFixture, key: str) -> Stages:
    """Stages of all images with the stored clusters; score and smooth map as the model's own forward has them too."""
    runs, results = [], []
    for index, image, name in fixture.singles(model):
        injected = None
        if f"{key}hsf_topk" in fixture.arrays:
            stored = (fixture.arrays[key + part][index : index + 1] for part in ("hsf_topk", "hsf_labels"))
            injected = tuple(torch.from_numpy(each).long() for each in stored)
        runs.append(stages(model, image, name, injected))
        results.append(model(image, [name]))
    found = {stage: torch.cat([run[stage] for run in runs]) for stage in runs[0]}
    found["forward_score"] = torch.cat([result.pred_score for result in results])
    found["forward_map"] = torch.cat([result.anomaly_map for result in results])
    return found


def check_stage(comparison: Comparison, name: str, ours: Tensor, tolerance: float) -> None:
    """Compare a stage: indices exactly, what may be larger than 1 relative to its size."""
    stored = comparison.fixture[name]
    if stored.dtype.kind in "iu":
        tolerance = 0
    comparison.check(name, ours, tolerance * max(1.0, float(np.sqrt(np.mean(stored.astype(np.float64) ** 2)))))


def check_inference(comparison: Comparison, fixture: AdaCLIPFixture) -> None:
    """Every stage, image by image; clusters from the fixture and from k-means."""
    model = fixture.model()
    found = collect(model, fixture, "out.")
    before_prompts = ("ln_pre", "image_feature_unprompted", "dynamic_visual_prompts", "dynamic_text_prompts")
    for stage, ours in found.items():
        if not stage.startswith(("forward_", "anomaly_map_s4")):
            check_stage(comparison, f"out.{stage}", ours, UNPROMPTED if stage in before_prompts else ROUNDED.stage)
    comparison.check("out.image_score", found["forward_score"], ROUNDED.stage)
    comparison.check("out.anomaly_map_gauss4", found["forward_map"], ROUNDED.stage)


@torch.no_grad()
def check_sweep(comparison: Comparison, fixture: AdaCLIPFixture) -> None:
    """Scores with other starts of k-means, and how far their clusters' feature is from the pinned one.

    These starts were not picked for their stability: where a random draw falls on the border between two patches, the
    last bit of a feature decides. So features that differ in such bits are clustered too, and the nearest score counts.
    """
    model = fixture.model()
    stored = fixture.tensor("out.kmeans_sweep_score")
    scores, cosines = torch.zeros_like(stored), torch.zeros_like(stored)
    generator = torch.Generator().manual_seed(0)
    for index, image, name in fixture.singles(model):
        features, text = model.encode(image, [name])
        probability = model.patch_probability(model.patch_logits(features.patches, text))
        pinned = torch.from_numpy(fixture.arrays["out.hsf_topk"][index : index + 1]).long()
        indices = like(fusion.strongest(probability, model.settings.clusters), pinned, probability)
        patches = fusion.choose(features.patches, indices)
        for column in range(stored.shape[1]):
            tries = []
            for size in (0.0, *[1e-6] * 4, *[1e-5] * 4):
                noise = size * torch.randn(patches.shape, generator=generator)
                labels = fusion.cluster(patches + noise, model.settings.clusters, 9000 + column)
                local = fusion.gather_clusters(patches, labels)
                score = model.image_probabilities(fusion.fuse(local, features.cls), text)[0, 1]
                tries.append(((score - stored[index, column]).abs().item(), score, local))
                if tries[-1][0] <= ROUNDED.stage:
                    break
            _, scores[index, column], local = min(tries, key=lambda each: each[0])
            cosines[index, column] = (local[0] * fixture.tensor("out.hsf_feature")[index]).sum()
    comparison.check("out.kmeans_sweep_score", scores, ROUNDED.stage)
    comparison.check("out.kmeans_sweep_feature_cos", cosines, ROUNDED.stage)


def check_exact(comparison: Comparison, fixture: AdaCLIPFixture) -> None:
    """The stages that are stored without the rounding to float16."""
    found = collect(fixture.model(half_prompts=False), fixture, "nohalf.")
    stored = [name.removeprefix("nohalf.") for name in fixture.arrays if name.startswith("nohalf.")]
    required = [stage for stage in found if stage.split(".")[0] in EXACT_STAGES]
    for stage in dict.fromkeys([*required, *(stage for stage in stored if stage in found)]):
        check_stage(comparison, f"nohalf.{stage}", found[stage], EXACT.stage)
    comparison.check("nohalf.image_score", found["forward_score"], EXACT.stage)


def check_variant(comparison: Comparison, fixture: AdaCLIPFixture, name: str) -> None:
    """Another row of the table of branches and prompts."""
    branch, prompts, *rest = [*("_" if name == "none" else name).split("_"), ""][:3]
    model = fixture.model(branch=branch, prompts=prompts, fusion="nohsf" not in rest)
    key = f"variant.{name}."
    found = collect(model, fixture, key)
    last = f"proj_patch.{model.layers[-1]}"
    labels = ["hsf_labels"] if model.settings.fusion else []
    required = [last if stage == "proj_patch" else stage for stage in VARIANT_STAGES] + labels
    stored = [name.removeprefix(key) for name in fixture.arrays if name.startswith(key)]
    for stage in dict.fromkeys([*required, *(stage for stage in stored if stage in found)]):
        check_stage(comparison, key + stage, found[stage], ROUNDED.stage)
    comparison.check(f"{key}image_score", found["forward_score"], ROUNDED.stage)


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
