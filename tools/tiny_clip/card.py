"""The model card beside the weights, written by the training and amended by the evaluation."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from anomalib_cops.files import write_text

_CARDS = Path(__file__).with_name("cards")
_SPLIT = "\n\n<!-- evaluation -->\n\n"


@dataclass(frozen=True)
class _Kind:
    """What is different in the card of one stand-in.

    Attributes:
        title: heading of the card.
        file: text before and after the evaluation, in the folder of cards.
        drawn: what is drawn, with the recipe's numbers.
        measured: what the training is evaluated on.
        levels: levels of these evaluations.
        terms: heading of each loss term that is shown.
    """

    title: str
    file: str
    drawn: str
    measured: str
    levels: tuple[str, ...]
    terms: dict[str, str]


_DAMAGE = _Kind(
    title="Tiny CLIP: a stand-in for development",
    file="damage.md",
    drawn="{pairs} drawn pictures",
    measured=", at two levels of\ndifficulty",
    levels=("easy", "medium"),
    terms={**{name: name for name in ("total", "state", "bare", "generic", "defect")}, "local": "local patches"},
)
_LOOKS = _Kind(
    title="Tiny CLIP for looks: a stand-in with which a broken part shows",
    file="looks.md",
    drawn="{pairs} drawn pictures of damage and {look_pairs} of looks",
    measured=": damage at two levels of\ndifficulty, and looks",
    levels=("easy", "medium", "looks"),
    terms={
        **{name: name for name in ("total", "state", "generic")},
        "local": "local patches",
        "look_product": "looks: product",
        "look_patch_look": "patch look",
        "look_meaning": "meaning",
        "look_pictured_patches": "pictured patches",
        "look_patch_gap": "patch gap",
    },
)


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
    kind, batch = (_LOOKS, recipe["look_batch_pairs"]) if recipe["look_pairs"] else (_DAMAGE, 0)
    batch = 2 * (batch + recipe["batch_pairs"])
    about, tried = (_CARDS / kind.file).read_text().strip().split(_SPLIT)
    vision, text = config["vision_cfg"], config["text_cfg"]
    content = (
        (_CARDS / "card.md")
        .read_text()
        .format(
            title=kind.title,
            vision=f"{vision['layers']} blocks of width {vision['width']}, {vision['image_size']} px, "
            f"patches of {vision['patch_size']} px",
            text=f"{text['layers']} blocks of width {text['width']}",
            embed_dim=config["embed_dim"],
            drawn=kind.drawn.format(**recipe),
            shown=done["steps"] * batch,
            start=done["start"],
            steps=done["steps"],
            batch=batch,
            resumed="".join(f", interrupted and resumed at step {step}" for step in done["resumed"]),
            seed=seed,
            minutes=done["seconds"] / 60,
            wall=done["wall_seconds"] / 60,
            hardware=hardware,
            about=about,
            tried=tried,
            evaluated=recipe["evaluated"],
            measured=kind.measured,
            evaluations=_evaluations(done["evaluations"], kind.levels),
            curve=_curve(done["curve"], kind.terms),
            recipe=json.dumps(recipe, indent=2),
        )
    )
    write_text(path, content)


def _evaluations(entries: Sequence[dict[str, float]], levels: Sequence[str]) -> str:
    head, names = ["step", "minutes", "category accuracy"], ["easy_category_accuracy"]
    for level in levels:
        head += [f"{level}: image AUROC", "pixel AUROC"]
        names += [f"{level}_image_auroc", f"{level}_pixel_auroc"]
    rows = [[str(e["step"]), f"{e['seconds'] / 60:.1f}", *(f"{e[name]:.3f}" for name in names)] for e in entries]
    return _table(head, rows)


def _curve(entries: Sequence[dict[str, float]], terms: dict[str, str]) -> str:
    every = max(1, len(entries) // 20)
    rows = [[str(e["step"]), *(f"{e[name]:.3f}" for name in terms)] for e in entries[every - 1 :: every]]
    return _table(["step", *terms.values()], rows)


def with_average(card: str, trainings: Sequence[str]) -> str:
    """Amend the card of the last training: its weights are the mean over these trainings."""
    row = f"| averaged | these and those of earlier trainings: {'; '.join(trainings)} |"
    return re.sub(r"^\| averaged \|.*$", lambda _: row, card, count=1, flags=re.MULTILINE)


def with_evaluation(card: str, result: dict[str, Any]) -> str:
    """Replace the tables between the evaluation's markers in a card."""
    start, end = "<!-- evaluation -->", "<!-- /evaluation -->"
    before, _, rest = card.partition(start)
    _, _, after = rest.partition(end)
    parts = [_learned_on_looks(result)] if "looks" in result else []
    parts += [_written(result), _learned(result)] + ([_photographs(result)] if result["photographs"] else [])
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
    return (
        f"Learned prompts at level {result['level']}, {result['epochs']} epochs on {result['learned']} pictures per "
        f"category.\n{_compared(result, result)}"
    )


def _learned_on_looks(result: dict[str, Any]) -> str:
    return (
        "**Surfaces that share looks.** The oracle is the distance of each patch to the median patch of its picture.\n"
        f"Learned prompts: {result['epochs']} epochs on {result['learned']} pictures per category, learning rate "
        f"{result['looks']['rate']}.\n" + _compared(result, result["looks"])
    )


def _compared(result: dict[str, Any], compared: dict[str, Any]) -> str:
    rows = []
    for variant, figures in compared["synthetic"].items():
        cells = [figures[name] for name in ("image_auroc", "pixel_auroc")]
        rows.append(
            (variant, *(f"{c:.3f}" if isinstance(c, float) else f"{c['mean']:.3f} ± {c['spread']:.3f}" for c in cells))
        )
    names = {side: ", ".join(name.replace("_", " ") for name in compared[side]) for side in ("trained", "tested")}
    return (
        f"Trained on {names['trained']};\ntested on {names['tested']}.\n"
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
    told = "Photographs, with the CoPS of the first seed. No training used them."
    if "looks" not in result:
        told += " They led to the decision to average\n"
        told += "trainings; which trainings are averaged was decided on drawn pictures."
    return f"{told}\n\n{_table(head, rows)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
