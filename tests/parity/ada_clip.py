"""AdaCLIP against its official implementation."""

import numpy as np
import torch
from torch import Tensor

from anomalib_cops.alignment import gaussian_smooth
from anomalib_cops.encoder.image import walk as walk_vision
from anomalib_cops.host.pre_processing import ClipPreProcessor, resize_mask
from anomalib_cops.models.ada_clip import fusion
from anomalib_cops.models.ada_clip.official import FIRST_TEXT_PROMPT
from anomalib_cops.models.ada_clip.sentences import N_NORMAL, sentences
from anomalib_cops.models.ada_clip.torch_model import AdaCLIPModel
from tests.parity.ada_clip_fixture import EXACT, ROUNDED, AdaCLIPFixture, Stages
from tests.parity.ada_clip_training import check_batch, check_training
from tests.parity.compare import Comparison

UNPROMPTED = 1e-5
TIE = 1e-6
VARIANTS = ("V_SD", "L_SD", "VL_S", "V_D", "none", "VL_SD_nohsf")
VARIANT_STAGES = ("image_score", "anomaly_map_s4", "text_features", "proj_cls", "proj_patch")
EXACT_STAGES = ("pooled", "logits", "proj_cls", "text_features", "hsf_topk", "hsf_labels", "hsf_feature", "image_score")


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
        ids = model.clip.text.tokenize(sentences(name))
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
    embedded = clip.image.embed(image)
    tokens = model.image_tokens(image, vision)
    features = model.project(tokens)
    each = model.text.sentence_features([name], text)
    states = model.text.features([name], text)
    logits = model.patch_logits(features.patches, states)
    found = {
        "ln_pre": embedded,
        "image_feature_unprompted": model.unprompted(image),
        "dynamic_visual_prompts": vision,
        "dynamic_text_prompts": text,
        "pooled": clip.image.project_cls(tokens.cls),
        "proj_cls": features.cls,
        "sentences_normal": each[:, :N_NORMAL],
        "sentences_abnormal": each[:, N_NORMAL:],
        "text_features": states.mT,
        "hsf_prob_map": model.patch_probability(logits),
        "anomaly_map": model.anomaly_map(logits),
    }
    blocks = clip.image.trunk.blocks
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
