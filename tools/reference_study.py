"""Measure how to use reference images, on auxiliary categories only: ``python -m tools.reference_study``.

No target takes part. The synthetic categories are divided into two halves; prompts are trained on one half and tested
on each category of the other, and then the other way round, so that every category is left out of its own training.
The figures are written to ``docs/results/references.json``, from which ``docs/models.md`` is made. It takes about
20 minutes on 2 cores.
"""

import argparse
import random
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from anomalib.engine import Engine
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from anomalib_cops import CoPS, ZeroShotTransfer
from anomalib_cops.data import LabelledImages
from anomalib_cops.data.synthetic import CATEGORIES
from anomalib_cops.encoder.image import descriptors_of, walk
from anomalib_cops.files import write_json
from anomalib_cops.models import patch_memory
from anomalib_cops.models.cops.prototypes import neighbourhood_mean
from anomalib_cops.models.memory_building import build_memory
from anomalib_cops.models.patch_memory import PatchMemory

RESULT = Path(__file__).resolve().parent.parent / "docs/results/references.json"
REFERENCES, DRAWS = 8, 3
LAYERS: dict[str, tuple[int, ...]] = {"2 4 5": (2, 4, 5), "3 5": (3, 5), "5": (5,), "2 4 6": (2, 4, 6)}
TOP_SHARES = (0.01, 0.03, 0.05)
DEFAULT_LAYERS = "2 4 5"
DEFAULT = f"blocks {DEFAULT_LAYERS} of 6"
PIXEL_STEP = 3
Figures = dict[str, list[tuple[float, float]]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all uses and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=60, help="pictures per category")
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args(arguments)
    names = sorted(CATEGORIES)
    halves = names[::2], names[1::2]
    figures: Figures = {}
    for source, target in (halves, halves[::-1]):
        model, data = train(source, target, options)
        for name, images in data.target_datasets.items():
            measure(model, images, figures)
            print(name, {use: round(values[-1][0], 3) for use, values in figures.items()}, flush=True)
    rows = [
        {"use": use, "image_auroc": mean(pair[0] for pair in values), "pixel_auroc": mean(pair[1] for pair in values)}
        for use, values in figures.items()
    ]
    about = {
        "backbone": "tiny",
        "categories": len(names),
        "references": REFERENCES,
        "draws": DRAWS,
        "samples": options.samples,
        "epochs": options.epochs,
        "seed": 0,
        "torch": metadata.version("torch"),
    }
    write_json(RESULT, about | {"rows": rows})


def train(source: Sequence[str], target: Sequence[str], options: Any) -> tuple[Any, ZeroShotTransfer]:
    """Train CoPS on one half of the categories."""
    model = CoPS(backbone="tiny", neighbourhood=1, epochs=options.epochs, seed=0, visualizer=False)
    data = ZeroShotTransfer(
        source_categories=list(source),
        target_categories=list(target),
        synthetic_samples=options.samples,
        synthetic_size=model.clip.image_size,
        train_batch_size=16,
        num_workers=0,
    )
    Engine(default_root_dir="results/reference_study", logger=False, accelerator="cpu", devices=1).fit(model, data)
    return model, data


@torch.no_grad()
def measure(model: Any, dataset: LabelledImages, figures: Figures) -> None:
    """Add the figures of one category for every use of references, one pair per draw.

    Args:
        model: trained CoPS.
        dataset: the images of the category.
        figures: (image AUROC, pixel AUROC) by use, extended in place.
    """
    batch = dataset.collate_fn([dataset[index] for index in range(len(dataset))])
    images, masks = model.pre_processor.transform(batch.image, batch.gt_mask)
    torch_model, labels = model.model.eval(), batch.gt_label
    zero_shot = [torch_model(some) for some in images.split(16)]
    scores = torch.cat([each.pred_score for each in zero_shot])
    maps = torch.cat([each.anomaly_map for each in zero_shot])
    described = {f"blocks {name} of 6": describe(model, images, layers) for name, layers in LAYERS.items()}
    described["the local path"] = describe(model, images, LAYERS[DEFAULT_LAYERS], local=True)
    described["3 x 3 patches averaged"] = smoothed(described[DEFAULT])
    good = (labels == 0).nonzero().flatten().tolist()
    for draw in range(DRAWS):
        chosen = random.Random(draw).sample(good, REFERENCES)
        rest = [index for index in range(len(labels)) if index not in chosen]

        def add(use: str, found: Sequence[Tensor], rest: list[int] = rest) -> None:
            figures.setdefault(use, []).append(aurocs(found[0], found[1], labels[rest], masks[rest]))

        def build(name: str, chosen: list[int] = chosen) -> PatchMemory:
            return build_memory(described[name][chosen].unsqueeze(1), scores[chosen], maps[chosen], None, 16384).memory

        add("prompts alone (zero-shot)", (scores[rest], maps[rest]))
        memory = build(DEFAULT)
        weights = {
            "memory alone": 0.0,
            "mean with equal weights": 1.0,
            "weight (1 - p)² of the prompts (default)": float(memory.prompt_weight),
        }
        for use, weight in weights.items():
            add(use, fused(memory, weight, scores[rest], maps[rest], described[DEFAULT][rest]))
        for name in described:
            add(
                f"memory alone, {name}",
                fused(build(name), 0.0, scores[rest], maps[rest], described[name][rest]),
            )
        for share in TOP_SHARES:
            patch_memory.TOP_SHARE, usual = share, patch_memory.TOP_SHARE
            found = fused(
                build(DEFAULT),
                float(memory.prompt_weight),
                scores[rest],
                maps[rest],
                described[DEFAULT][rest],
            )
            patch_memory.TOP_SHARE = usual
            add(f"default with the mean of the farthest {100 * share:g} % of the patches", found)
        add("prototypes of SAGA", as_prototypes(model, images, chosen, rest))


def describe(model: Any, images: Tensor, layers: tuple[int, ...], *, local: bool = False) -> Tensor:
    """Return descriptors from chosen blocks of the ordinary or the local path."""
    tower, parts = model.clip.image, []
    for some in images.split(16):
        blocks, prefix = tower.trunk.blocks, tower.trunk.prefix
        local_blocks = range(len(blocks)) if local else range(0)
        tokens = [paths[int(local)][:, prefix:] for paths in walk(blocks, tower.embed(some), local_blocks)]
        parts.append(descriptors_of(torch.stack([tokens[layer - 1] for layer in layers])))
    return torch.cat(parts)


def smoothed(described: Tensor) -> Tensor:
    """Average the descriptors of each patch and its neighbours."""
    return F.normalize(neighbourhood_mean(described.unsqueeze(0), 3)[0], dim=-1)


def fused(memory: PatchMemory, weight: float, scores: Tensor, maps: Tensor, described: Tensor) -> tuple[Tensor, Tensor]:
    """Join the prompts' scores and maps with those of a memory with another weight."""
    memory.prompt_weight.fill_(weight)
    return memory.fuse(scores, maps, memory.distances(described))


def as_prototypes(model: Any, images: Tensor, chosen: list[int], rest: list[int]) -> tuple[Tensor, Tensor]:
    """Predict with the references as further normal prototypes of SAGA."""
    torch_model = model.model
    usual = torch_model.settings
    torch_model.settings = type(usual)(**{**vars(usual), "references": "prototypes"})
    bank = torch_model.describe(images[chosen])
    owners = torch.arange(len(chosen)).repeat_interleave(bank.shape[1])
    torch_model.memory = PatchMemory(bank.flatten(0, 1), owners)
    found = [torch_model(some) for some in images[rest].split(16)]
    torch_model.memory, torch_model.settings = None, usual
    return torch.cat([each.pred_score for each in found]), torch.cat([each.anomaly_map for each in found])


def aurocs(scores: Tensor, maps: Tensor, labels: Tensor, masks: Tensor) -> tuple[float, float]:
    """Return the image AUROC, and the pixel AUROC of every third row and column."""
    thin = slice(None), slice(None, None, PIXEL_STEP), slice(None, None, PIXEL_STEP)
    pixels = float(roc_auc_score(masks[thin].flatten().bool(), maps[thin].flatten()))
    return float(roc_auc_score(labels, scores)), pixels


def mean(values: Any) -> float:
    """Return the mean, rounded to four digits."""
    found = list(values)
    return round(sum(found) / len(found), 4)


def study_table(result: dict[str, Any]) -> str:
    """Return the result in Markdown."""
    lines = [
        f"CoPS with the tiny CLIP stand-in, {result['references']} references, mean over {result['categories']} "
        f"synthetic categories, each left out of the training, and {result['draws']} draws; seed {result['seed']}, "
        f"torch {result['torch']}:",
        "",
        "| use of the references | image AUROC | pixel AUROC |",
        "|---|---|---|",
    ]
    lines += [f"| {row['use']} | {row['image_auroc']:.3f} | {row['pixel_auroc']:.3f} |" for row in result["rows"]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
