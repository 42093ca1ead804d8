"""The model card beside the weights, written by the training script from what it measured."""

import json
import os
from pathlib import Path
from typing import Any

_TEXT = """# Tiny CLIP: a stand-in for development

**This is not a detector for production.** It is a small CLIP trained on drawn (synthetic) pictures only, so that
everything in this package runs and means something without a download. Use real CLIP weights for real inspection.

| | |
|---|---|
| image tower | {vision} |
| text tower | {text} |
| joint dimension | {embed_dim} |
| trained on | {pairs} drawn pictures, each with and without its defect; {shown} pictures shown in all |
| started from | {start} |
| steps | {steps} of {batch} pictures{resumed} |
| seed | {seed} |
| time | {minutes:.1f} min of steps; {wall:.1f} min in all, drawing and evaluation included |
| hardware | {hardware} |

Pictures and captions come from `anomalib_cops.data.synthetic` and `captions.py`; the losses are in `objective.py`:
contrast between pictures and sentences, with the same picture once flawless and once damaged in a batch; contrast
between patches (of the local v-v path, of its middle layer, of the ordinary path) and the two states; and linear heads
on the patches that are dropped afterwards. The result is a moving average of the weights, stored in half precision.

## Numbers

While training: hand-written sentences, no learned prompt, on drawn pictures of another seed ({evaluated} good and
{evaluated} anomalous of every category; AUROC averaged over categories), at two levels of difficulty. The encoder has
seen these categories and kinds of defects, not these pictures.

| step | minutes | category accuracy | easy: image AUROC | pixel AUROC | medium: image AUROC | pixel AUROC |
|---|---|---|---|---|---|---|
{evaluations}

## Loss

| step | total | state | bare | generic | defect | local patches |
|---|---|---|---|---|---|---|
{curve}

## Recipe

```json
{recipe}
```
"""


def write_card(
    path: Path, *, recipe: dict[str, Any], seed: int, done: dict[str, Any], config: dict[str, Any], hardware: str
) -> None:
    """Writes the card; the file appears complete or not at all."""
    figures = [f"{level}_{name}" for level in ("easy", "medium") for name in ("image_auroc", "pixel_auroc")]
    names = ("easy_category_accuracy", *figures)
    evaluations = [
        f"| {e['step']} | {e['seconds'] / 60:.1f} | " + " | ".join(f"{e[name]:.3f}" for name in names) + " |"
        for e in done["evaluations"]
    ]
    every = max(1, len(done["curve"]) // 20)
    terms = ("total", "state", "bare", "generic", "defect", "local")
    curve = [
        f"| {c['step']} | " + " | ".join(f"{c[name]:.3f}" for name in terms) + " |"
        for c in done["curve"][every - 1 :: every]
    ]
    vision, text = config["vision_cfg"], config["text_cfg"]
    content = _TEXT.format(
        vision=f"{vision['layers']} blocks of width {vision['width']}, {vision['image_size']} px, "
        f"patches of {vision['patch_size']} px",
        text=f"{text['layers']} blocks of width {text['width']}",
        embed_dim=config["embed_dim"],
        pairs=recipe["pairs"],
        shown=done["steps"] * recipe["batch_pairs"] * 2,
        start=done["start"],
        steps=done["steps"],
        batch=2 * recipe["batch_pairs"],
        resumed="".join(f", interrupted and resumed at step {step}" for step in done["resumed"]),
        seed=seed,
        minutes=done["seconds"] / 60,
        wall=done["wall_seconds"] / 60,
        hardware=hardware,
        evaluated=recipe["evaluated"],
        evaluations="\n".join(evaluations),
        curve="\n".join(curve),
        recipe=json.dumps(recipe, indent=2),
    )
    partial = path.with_name(path.name + ".partial")
    partial.write_text(content)
    os.replace(partial, path)
