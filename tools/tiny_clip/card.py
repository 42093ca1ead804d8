"""The model card beside the weights, written by the training and amended by the evaluation."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from anomalib_cops.files import write_text

_TEXT = """# Tiny CLIP: a stand-in for development

**This is not a detector for production.** It is a small CLIP trained on drawn (synthetic) pictures only, so that
everything in this package runs, with meaningful results, without a download. Use real CLIP weights for real inspection.

| | |
|---|---|
| image tower | {vision} |
| text tower | {text} |
| joint dimension | {embed_dim} |
| trained on | {pairs} drawn pictures, each with and without its defect; {shown} pictures shown in all |
| started from | {start} |
| steps | {steps} of {batch} pictures{resumed} |
| seed | {seed} |
| averaged | its own weights of the last steps |
| time | {minutes:.1f} min of steps; {wall:.1f} min in all, drawing and evaluation included |
| hardware | {hardware} |

Pictures come from `anomalib_cops.data.synthetic`, captions from `tools/tiny_clip/captions.py`. The losses are in
`tools/tiny_clip/objective.py`: contrast between pictures and sentences, with each picture once flawless and once
damaged in a batch; contrast between patches (of the local v-v path, of its middle layer, of the ordinary path) and the
two states; and linear heads on the patches, which are dropped afterwards. In some sentences, mean patch features of the
picture replace words. The result is a moving average of the weights, stored in half precision.

## Evaluation

<!-- evaluation -->
Not measured yet: `python -m tools.tiny_clip.evaluate`.
<!-- /evaluation -->

## What was tried

On categories that the prompts were not trained on, no recipe so far made image-conditioned prompts better than prompts
that are the same for all images. Tried were:

1. contrast of pictures and sentences alone (the state is hardly learned), and with linear heads on the patches;
2. hard pairs, several wordings, three levels of difficulty, Muon, moving averages, the mean of several trainings: the
   recipe below;
3. sentences in which mean patch features replace words, as prototypes do in CoPS: part of the recipe;
4. pulling patches towards the sentence of their state, not only away from the other one: hand-written sentences are no
   worse, but prompts made from prototypes generalise less;
5. for the prompts, four times as many pictures and ten times as many steps.

The table above shows why. Linear classifiers that are trained on the same features and pictures are hardly better on
the other categories than hand-written sentences: the encoder has learned one direction from flawless to damaged for all
categories, sentences already name it, and prompts can only find it again.

## Training

Evaluated during training with hand-written sentences, no learned prompt, on drawn pictures of another seed
({evaluated} good and {evaluated} anomalous of every category; AUROC averaged over categories), at two levels of
difficulty. The encoder has seen these categories and kinds of defects, not these pictures.

| step | minutes | category accuracy | easy: image AUROC | pixel AUROC | medium: image AUROC | pixel AUROC |
|---|---|---|---|---|---|---|
{evaluations}

| step | total | state | bare | generic | defect | local patches |
|---|---|---|---|---|---|---|
{curve}

Recipe:

```json
{recipe}
```
"""


def write_card(
    path: Path, *, recipe: dict[str, Any], seed: int, done: dict[str, Any], config: dict[str, Any], hardware: str
) -> None:
    """Write the card; the file appears complete or not at all.

    Args:
        path: the file.
        recipe: what was trained, as plain data.
        seed: seed of the training.
        done: what :func:`tools.tiny_clip.train.train` returns.
        config: the model configuration in open_clip's format.
        hardware: description of the machine.
    """
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
    write_text(path, content)


def with_average(card: str, trainings: Sequence[str]) -> str:
    """Amend the card of the last training: its weights are the mean over these trainings."""
    row = f"| averaged | these and those of earlier trainings: {'; '.join(trainings)} |"
    return re.sub(r"^\| averaged \|.*$", lambda _: row, card, count=1, flags=re.MULTILINE)


def with_evaluation(card: str, result: dict[str, Any]) -> str:
    """Replace the tables between the evaluation's markers in a card."""
    start, end = "<!-- evaluation -->", "<!-- /evaluation -->"
    before, _, rest = card.partition(start)
    _, _, after = rest.partition(end)
    parts = [_written(result), _learned(result)] + ([_photographs(result)] if result["photographs"] else [])
    return f"{before}{start}\n" + "\n\n".join(parts) + f"\n{end}{after}"


def _written(result: dict[str, Any]) -> str:
    names = ("category_accuracy", "image_auroc", "image_auroc_global", "image_auroc_patch", "pixel_auroc")
    rows = [(level, *(f"{figures[name]:.3f}" for name in names)) for level, figures in result["written"].items()]
    rows.append(("easy, small set", *(f"{result['subset'][name]:.3f}" for name in names)))
    head = ("level", "category accuracy", "image AUROC", "... class token", "... patch maximum", "pixel AUROC")
    return (
        f"Hand-written sentences, no learning, on {result['pictures']} drawn pictures of every category, half of them\n"
        "good; AUROC averaged over categories. No picture was trained on. A test measures the small set again.\n\n"
        + _table(head, rows)
    )


def _learned(result: dict[str, Any]) -> str:
    rows = []
    for variant, figures in result["synthetic"].items():
        cells = [figures[name] for name in ("image_auroc", "pixel_auroc")]
        rows.append(
            (variant, *(f"{c:.3f}" if isinstance(c, float) else f"{c['mean']:.3f} ± {c['spread']:.3f}" for c in cells))
        )
    names = {side: ", ".join(name.replace("_", " ") for name in result[side]) for side in ("trained", "tested")}
    return (
        f"Learned prompts at level {result['level']}, {result['epochs']} epochs on {result['learned']} pictures per "
        f"category.\nTrained on {names['trained']};\ntested on {names['tested']}.\n"
        f"Mean and standard deviation over {result['seeds']} seeds.\n\n"
        + _table(("", "image AUROC", "pixel AUROC"), rows)
    )


def _photographs(result: dict[str, Any]) -> str:
    sets: dict[str, list[dict[str, Any]]] = {}
    for name, found in result["photographs"].items():
        sets.setdefault(name.split("/")[0], []).append(found)
    columns = [(way, name) for way in ("hand-written", "CoPS") for name in ("image_auroc", "pixel_auroc")]

    def cells(values: list[list[float]]) -> list[str]:
        return [f"{mean(column):.3f}" if column else "–" for column in values]

    def figures(found: list[dict[str, Any]]) -> list[list[float]]:
        return [[each[way][name] for each in found if name in each[way]] for way, name in columns]

    rows = [(name, str(each["images"]), *cells(figures([each]))) for name, each in result["photographs"].items()]
    of_sets = [[mean(column) for column in place if column] for place in zip(*map(figures, sets.values()), strict=True)]
    rows.append((f"mean of {len(sets)} sets", "", *cells(of_sets)))
    head = ("photographs", "images", *(f"{way}: {name.replace('_auroc', ' AUROC')}" for way, name in columns))
    return (
        "Photographs, with the CoPS of the first seed. No training used them. They led to the decision to average\n"
        "trainings; which trainings are averaged was decided on drawn pictures.\n\n" + _table(head, rows)
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
