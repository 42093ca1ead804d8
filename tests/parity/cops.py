"""CoPS against its official implementation."""

import json
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from anomalib_cops.alignment import cosine, enlarge, gaussian_smooth, to_grid
from anomalib_cops.encoder.image import walk as walk_vision
from anomalib_cops.host.pre_processing import ClipPreProcessor, resize_mask
from anomalib_cops.host.prompt_learning import PromptLearningMixin
from anomalib_cops.losses import dice_loss, focal_loss
from anomalib_cops.models.cops.category_vae import reparametrize
from anomalib_cops.models.cops.official import KEYS
from anomalib_cops.models.cops.settings import PRESETS, CoPSSettings
from anomalib_cops.models.cops.spatial import min_max
from anomalib_cops.models.cops.torch_model import CoPSModel
from anomalib_cops.weights.official import from_official
from tests.parity.compare import Comparison
from tests.parity.fixture import Fixture
from tests.parity.gradients import Named, check_first_step, check_gradients
from tests.support.prompt_tokens import padded, template_ids

FEATURES, STAGES, LOSSES = 2e-5, 1e-5, 1e-4
SWITCHES = {
    # What the official drivers take from a data set's name: window and reconstruction in training; window at test.
    "mvtec": {"train": {"neighbourhood": 3, "reconstruction": True}, "test": {"neighbourhood": 5}},
    "visa": {"train": {"neighbourhood": 5, "reconstruction": False}, "test": {"neighbourhood": 3}},
}
INPUTS = ("extra.half.compound", "extra.pre.rgb_uint8", "extra.pre.mask_uint8")
SINGLE_ONLY = ("image_features", "text_features")
OFFICIAL = {"min_max_over": "batch", "all_pairs_reconstruction": True, "reflip_levels": True}


def compare(arrays: dict[str, np.ndarray]) -> Comparison:
    """Recompute every stored stage with the project's public code."""
    comparison = Comparison(arrays, results=("out.", "extra."))
    fixture = CoPSFixture(arrays)
    for name in arrays:
        if name.startswith(INPUTS):
            comparison.skip(name, "an input")
    check_encoder(comparison, fixture)
    for name in SWITCHES:
        check_inference(comparison, fixture, name)
        check_training(comparison, fixture, name)
    check_half(comparison, fixture)
    check_preprocessing(comparison, fixture)
    return comparison


class CoPSFixture(Fixture):
    """The learner's weights too, and models with them."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        super().__init__(arrays)
        self.config = json.loads(str(arrays["config"]))
        self.learner = self.group("learner.")
        self.train_only = self.group("trainonly.")

    def model(self, **settings: object) -> CoPSModel:
        """CoPS with the fixture's sizes, its weights and the given settings."""
        deep = [value for name, value in self.learner.items() if name.startswith("compound_prompts_text.")]
        prototypes, slots = len(self.learner["t_n"]), self.learner["ctx_pos"].shape[-2]
        context = self.config["n_ctx"] - prototypes
        taps = {"layers": tuple(self.config["features_list"])} if "features_list" in self.config else {}
        clip = self.clip(self.tensor("in.image").shape[-1])
        chosen = CoPSSettings(
            n_prototypes=prototypes,
            n_samples=self.arrays["in.z_test"].shape[1],
            context_tokens=context,
            category_tokens=slots - prototypes - context,
            deep_depth=len(deep),
            deep_length=len(deep[0]),
            local_start=clip.depth - self.config.get("dpam", clip.depth) + 1,
            **taps,
        )
        model = CoPSModel(clip, replace(chosen, **settings))
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        state = from_official({**self.learner, **self.train_only}, trained, KEYS, "fixture")
        model.load_state_dict(state, strict=False)
        return model


@torch.no_grad()
def check_encoder(comparison: Comparison, fixture: CoPSFixture) -> None:
    """Position table, both vision paths block by block, features, token ids."""
    model = fixture.model()
    clip, images = model.clip, fixture.tensor("in.image")
    comparison.check("in.token_ids", template_ids(model.clip, model.context.shape[1], ["."])[0], 0)
    comparison.check("out.pos_embed_resized", clip.positions, STAGES)
    rows = torch.from_numpy(fixture.arrays["out.dbg.vision_token_index"])
    comparison.skip("out.dbg.vision_token_index", "names the rows that are kept, an input")
    x = clip.image.embed(images)
    local_blocks = range(model.settings.local_start - 1, clip.depth)
    for index, (ordinary, local) in enumerate(walk_vision(clip.image.trunk.blocks, x, local_blocks)):
        comparison.check(f"out.dbg.vision_ori.{index}", ordinary[:, rows], FEATURES)
        if local is not None:
            comparison.check(f"out.dbg.vision_vv.{index}", local[:, rows], FEATURES)
    features = model.encode(images)
    comparison.check("out.image_features", features.cls, FEATURES)
    comparison.check("out.patch_features", features.patches[-1], FEATURES)
    drawn = fixture.tensor("in.z_test_official")
    comparison.check("in.z_test", drawn.reshape(drawn.shape[1], drawn.shape[0], -1), 0)
    comparison.check("out.category_bias", model.category_tokens(features, fixture.tensor("in.z_test")), STAGES)


@torch.no_grad()
def check_inference(comparison: Comparison, fixture: CoPSFixture, name: str) -> None:
    """Every stage of the test, with the whole batch at once and image by image."""
    key = f"out.test.{name}."
    images, noise = fixture.tensor("in.image"), fixture.tensor("in.z_test")
    constants = {k: float(fixture.arrays[key + k]) for k in ("alpha", "beta")}
    for constant in constants:
        comparison.skip(key + constant, "a constant of the driver, taken as a setting")
    model = fixture.model(**SWITCHES[name]["test"], **OFFICIAL, **constants)
    features = model.encode(images)
    local = model.local_features(features)
    prototypes = model.prototypes(local.mean(dim=0))
    normal, anomalous = model.distances(local, prototypes)
    categories = model.category_tokens(features, noise)
    prompts = model.prompts(len(images), prototypes, categories)
    each = model.encode_prompts(prompts)
    text = model.text_features(each)
    comparison.check(key + "patch_features_avg", local[-1], FEATURES)
    comparison.check(key + "prototype_n", prototypes[:, 0], FEATURES)
    comparison.check(key + "prototype_a", prototypes[:, 1], FEATURES)
    comparison.check(key + "distance_n", normal, STAGES)
    comparison.check(key + "distance_a", anomalous, STAGES)
    comparison.check(key + "text_features_each", each, STAGES)
    comparison.check(key + "text_features", text, STAGES)
    if name == "mvtec":
        whole = padded(prompts, model.clip)
        comparison.check(key + "prompts", whole.flatten(1, 2), STAGES)
        check_text_blocks(comparison, model, prompts)
    check_alignment(comparison, model, images, noise, key + "batch.")
    per_image = fixture.model(**SWITCHES[name]["test"], **constants)
    check_alignment(comparison, per_image, images, noise, key + "single.")


def check_text_blocks(comparison: Comparison, model: CoPSModel, prompts: Tensor) -> None:
    """The read-out row after every text block, for each image's first and last sample of both states."""
    samples = prompts.shape[2]
    chosen = prompts.flatten(1, 2)[:, [0, samples - 1, samples, 2 * samples - 1]]
    end = model.template.read_out
    for index, (x, _) in enumerate(model.clip.text.walk(chosen[..., : end + 1, :].flatten(0, 1), model.deep)):
        comparison.check(f"out.dbg.text_eot.{index}", x[:, end].unflatten(0, chosen.shape[:2]), FEATURES)


def check_alignment(comparison: Comparison, model: CoPSModel, images: Tensor, noise: Tensor, key: str) -> None:
    """From text and local features to maps and scores; image by image if the fixture was made so."""
    single = key.endswith("single.")
    parts = zip(images.split(1), noise.split(1), strict=True) if single else [(images, noise)]
    stages: dict[str, list[Tensor]] = {}
    for image, draw in parts:
        for stage, value in alignment_stages(model, image, draw).items():
            stages.setdefault(stage, []).append(value)
    for stage, values in stages.items():
        if single or stage not in SINGLE_ONLY:
            tolerance = FEATURES if stage == "image_features" else STAGES
            comparison.check(key + stage, torch.cat(values), tolerance)


def alignment_stages(model: CoPSModel, images: Tensor, noise: Tensor) -> dict[str, Tensor]:
    """Alignment stages by the fixture's names; score and smoothed map come from the model's own forward."""
    chosen = model.settings
    features = model.encode(images)
    local = model.local_features(features)
    prototypes = model.prototypes(local.mean(dim=0))
    prompts = model.prompts(len(images), prototypes, model.category_tokens(features, noise))
    text = model.text_features(model.encode_prompts(prompts))
    normal, anomalous = model.distances(local, prototypes)
    probability = model.patch_probabilities(local, text)
    weights = model.spatial_weights(local, prototypes)
    weighted = probability * weights.unsqueeze(-1)
    result = model(images, noise)
    raw = model.raw_map(weighted)
    torch.testing.assert_close(result.anomaly_map, gaussian_smooth(raw, chosen.sigma), rtol=0, atol=1e-6)
    return {
        "image_features": features.cls,
        "text_features": text,
        "patch_cos": cosine(local[-1], text),
        "patch_prob": probability[-1],
        "distance_n_norm": min_max(normal, chosen.min_max_over),
        "distance_a_flip": 1 - min_max(anomalous, chosen.min_max_over),
        "distance": weights[-1],
        "patch_weighted": weighted[-1],
        "anomaly_map_raw": raw,
        "anomaly_map": result.anomaly_map,
        "image_cos": cosine(features.cls.unsqueeze(1), text)[:, 0],
        "image_prob": model.image_probability(features, text),
        "image_score": result.pred_score,
    }


def check_training(comparison: Comparison, fixture: CoPSFixture, name: str) -> None:
    """Stages of a training batch, gradients, and three optimiser steps."""
    key = f"out.train.{name}."
    settings = {**SWITCHES[name]["train"], **OFFICIAL}
    model = fixture.model(**settings)
    check_training_stages(comparison, model, fixture, key)
    batch = training_batch(fixture)
    rate = PRESETS["default"]["learning_rate"]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=rate, betas=PromptLearningMixin.betas)
    history: dict[str, list[float]] = {}
    for step in range(len(fixture.arrays[key + "loss"])):
        optimizer.zero_grad()
        terms = model.loss(*batch)
        terms["loss"].backward()
        for term in ("image", "patch", "gather", "scatter", "kl", "recon", "loss"):
            stored = term if term == "loss" else f"{term}_loss"
            history.setdefault(stored, []).append(terms[term].item() if term in terms else 0.0)
        if step == 0:
            check_gradients(comparison, named_gradients(model), key, "grad")
        optimizer.step()
        if step == 0:
            check_first_step(comparison, named_gradients(model), key, rate)
    for stored, values in history.items():
        scale = max(1.0, float(np.abs(fixture.arrays[key + stored]).max()))
        comparison.check(key + stored, np.array(values), LOSSES * scale)
    exact = fixture.model(**settings, half_deep_prompts=False)
    exact.loss(*batch)["loss"].backward()
    check_gradients(comparison, named_gradients(exact), key, "grad_nohalf")


def training_batch(fixture: CoPSFixture) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, masks cut at one half, labels, noise."""
    masks = (fixture.tensor("in.mask_soft")[:, 0] > 0.5).float()
    return fixture.tensor("in.image"), masks, fixture.tensor("in.label"), fixture.tensor("in.z_train")


@torch.no_grad()
def check_training_stages(comparison: Comparison, model: CoPSModel, fixture: CoPSFixture, key: str) -> None:
    """What a training batch looks like before the losses."""
    images, masks, _, noise = training_batch(fixture)
    comparison.check("in.mask", masks.unsqueeze(1), 0)
    features = model.encode(images)
    local = model.local_features(features)
    prototypes = model.prototypes(local.mean(dim=0))
    normal, anomalous = model.distances(local, prototypes)
    mean, log_variance = model.vae.posterior(features.cls)
    latent = reparametrize(mean, log_variance, noise.unsqueeze(1))
    categories = model.vae.decode(latent)
    text = model.text_features(model.encode_prompts(model.prompts(len(images), prototypes, categories)))
    probability = model.patch_probabilities(local, text)[-1]
    maps = enlarge(to_grid(probability.mT), images.shape[-1])
    patch_masks = F.max_pool2d(masks.unsqueeze(1), model.clip.patch_size).flatten(1)
    comparison.check("out.train.mask_patch", patch_masks, 0)
    comparison.check("out.train.vae_mean", mean, STAGES)
    comparison.check("out.train.vae_log_var", log_variance, STAGES)
    comparison.check("out.train.z_latent", latent[:, 0], STAGES)
    comparison.check("out.train.bias", categories[:, 0], STAGES)
    comparison.check(key + "distance_n", normal, STAGES)
    comparison.check(key + "distance_a", anomalous, STAGES)
    comparison.check(key + "text_features", text, STAGES)
    comparison.check(key + "patch_prob", probability, STAGES)
    comparison.check(key + "image_logits", cosine(features.cls.unsqueeze(1), text)[:, 0] / 0.07, LOSSES)
    parts = [focal_loss(maps, masks), dice_loss(maps[:, 1], masks), dice_loss(maps[:, 0], 1 - masks)]
    comparison.check(key + "patch_loss_parts", torch.stack(parts), LOSSES)


def named_gradients(model: CoPSModel) -> Named:
    """Value and gradient of every trained parameter under its official names."""
    found = {}
    for ours, parameter in model.named_parameters():
        if parameter.requires_grad:
            for state, official in enumerate(KEYS.names(ours)):
                value, gradient = parameter.detach(), parameter.grad
                found[official] = (value[state], gradient[state]) if ours in KEYS.stacked else (value, gradient)
    return found


@torch.no_grad()
def check_half(comparison: Comparison, fixture: CoPSFixture) -> None:
    """Deep prompts that float16 cannot hold exactly."""
    replaced = fixture.group("extra.half.")
    fixture.learner.update({name: value for name, value in replaced.items() if name in fixture.learner})
    model = fixture.model(**SWITCHES["mvtec"]["test"])
    features = model.encode(fixture.tensor("in.image"))
    prototypes = model.prototypes(model.local_features(features).mean(dim=0))
    categories = model.category_tokens(features, fixture.tensor("in.z_test"))
    text = model.text_features(model.encode_prompts(model.prompts(len(features.cls), prototypes, categories)))
    comparison.check("extra.half.text_features", text, STAGES)


def check_preprocessing(comparison: Comparison, fixture: CoPSFixture) -> None:
    """From 8-bit picture and mask to model input."""
    size = fixture.tensor("in.image").shape[-1]
    transform = ClipPreProcessor((size, size)).transform
    picture = fixture.tensor("extra.pre.rgb_uint8").permute(2, 0, 1) / 255
    gray = picture[:1].expand(3, -1, -1)
    mask = fixture.tensor("extra.pre.mask_uint8").unsqueeze(0)
    comparison.check("extra.pre.image", transform(picture), STAGES)
    comparison.check("extra.pre.image_from_gray", transform(gray), STAGES)
    comparison.check("extra.pre.mask_soft", resize_mask(mask, (size, size)), STAGES)
