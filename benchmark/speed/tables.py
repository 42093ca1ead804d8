"""Print what ``speed`` measured as Markdown tables."""

from collections.abc import Sequence
from typing import Any

from .throughput_table import table, throughput_table

REFERENCE = "open_clip encode_image"
"""What every method is compared with."""
SpeedResult = dict[str, Any]
"""Content of ``speed.json``, or a part of it."""


def tables(result: SpeedResult) -> str:
    """Print all tables of a result, with what they were measured on."""
    parts = [
        _conditions(result),
        _inference(result["inference"]),
        _memory(result["memory"], result["inference"]["backbone"]),
        _training(result["training"]),
        _metrics(result["metrics"]),
        _growth(result["growth"]),
        _drift(result["drift"]),
    ]
    if "start" in result:
        parts.append(_start(result["start"]))
    if "towers" in result:
        parts.append(_towers(result["towers"]))
    if "throughput" in result:
        parts.append(throughput_table(result["throughput"]))
    return "\n\n".join(parts)


def summary(result: SpeedResult) -> str:
    """Print inference and training alone, with what they were measured on."""
    return "\n\n".join((_conditions(result), _inference(result["inference"]), _training(result["training"])))


def method_stages(works: SpeedResult) -> dict[str, list[str]]:
    """Return the stages that make a whole prediction, for open_clip and for each method that was measured."""
    stages = {REFERENCE: [REFERENCE]}
    for work in works:
        name, _, stage = work.partition("/")
        if stage in ("vision", "rest", "whole"):
            stages.setdefault(name, []).append(work)
    return stages


def ratio(works: SpeedResult, stages: Sequence[str], measure: str = "seconds") -> float:
    """Return the seconds or operations ("gflop") of stages as a multiple of open_clip's."""

    def value(name: str) -> float:
        return float(works[name]["gflop"] if measure == "gflop" else works[name]["seconds"]["median"])

    return sum(map(value, stages)) / value(REFERENCE)


def _conditions(result: SpeedResult) -> str:
    provenance = result["provenance"]
    machine, versions = provenance["machine"], provenance["versions"]
    threads = f"{result['threads']} thread" + "s" * (result["threads"] > 1)
    where = f"{threads} of {machine['gpu'] or machine['processor']}"
    return (
        f"Random weights of {result['inference']['backbone']} at {result['inference']['image_size']} pixels, one "
        f"image, float32, {where}, torch {versions['torch']}, open_clip {versions['open_clip_torch']}; medians of "
        f"{result['repetitions']} interleaved runs. Operations are counted and exact, seconds are not: the machine may "
        "have done other things."
    )


def _inference(inference: SpeedResult) -> str:
    works = inference["works"]
    rows = [(name, *_stage_seconds(works, name), *_whole(works, each)) for name, each in method_stages(works).items()]
    for work in works:
        if "R=" in work:
            label = work.replace("/rest,", " with")
            rows.append((label, "", "", "", *_whole(works, ["CoPS/vision", work])))
    head = ("one image", "vision, s", "prompts and text, s", "alignment, s", "end to end, s (spread)")
    share = works["CoPS/text"]["seconds"]["median"] / works["CoPS/vision"]["seconds"]["median"]
    both = works["CoPS/vision"]["gflop"] / works[REFERENCE]["gflop"]
    return (
        table((*head, "× encode_image", "GFLOP", "× encode_image"), rows)
        + f"\n\nBoth vision paths of CoPS take {both:.3f} times the operations of encode_image, "
        f"{ratio(works, ['CoPS/vision']):.2f} times its time; prompts and text take {100 * share:.1f} % of that."
    )


def _stage_seconds(works: SpeedResult, name: str) -> tuple[str, str, str]:
    """Print the seconds of vision, text and alignment; nothing for what was measured as a whole."""
    stages = [works.get(f"{name}/{stage}") for stage in ("vision", "text", "rest")]
    medians = [stage["seconds"]["median"] for stage in stages if stage]
    if len(medians) < len(stages):
        return "", "", ""
    vision, text, rest = medians
    return f"{vision:.2f}", f"{text:.2f}", f"{max(rest - text, 0):.2f}"


def _whole(works: SpeedResult, stages: Sequence[str]) -> tuple[str, ...]:
    """Print seconds and operations of stages together."""
    median, least, most = (sum(works[stage]["seconds"][key] for stage in stages) for key in ("median", "least", "most"))
    operations = sum(works[stage]["gflop"] for stage in stages)
    return (
        f"{median:.2f} ({least:.2f}–{most:.2f})",
        f"{ratio(works, stages):.2f}",
        f"{operations:.1f}",
        f"{operations / works[REFERENCE]['gflop']:.3f}",
    )


def _memory(memory: SpeedResult, backbone: str) -> str:
    names = {"32-true": "float32", "bf16-true": "bfloat16"}
    rows = [
        (names[precision], *(f"{peaks[stage]:.2f}" for stage in ("imports", "loaded", "predicted")))
        for precision, peaks in memory.items()
    ]
    head = (f"predicting with {backbone}, weights in", "imports, GB", "and loading, GB", "and predicting, GB")
    return table(head, rows)


def _training(training: SpeedResult) -> str:
    cached, plain = training["cached"], training["plain"]
    first, total = cached["seconds"][0], sum(cached["seconds"])
    shared = len(plain["losses"])
    difference = max(abs(a - b) / abs(b) for a, b in zip(cached["losses"][:shared], plain["losses"], strict=True))
    count = len(cached["seconds"])
    without = sum(plain["seconds"]) / shared * count
    return (
        f"Training CoPS on {training['images']} images, {training['backbone']} at {training['image_size']} pixels: "
        f"{count} epochs with the feature cache take {total:.1f} s, {total / first:.2f} times the first epoch "
        f"({first:.1f} s); without it, {without:.1f} s ({shared} measured). Losses differ by at most {difference:.1e} "
        f"of their value. The cache has {training['cache_gb']:.3f} GB."
    )


def _metrics(metrics: SpeedResult) -> str:
    rows = []
    for name, kinds in metrics["metrics"].items():
        exact, fast = kinds["exact"], kinds["streaming"]
        is_known = exact["gb"] is not None
        rows.append(
            (
                name,
                f"{exact['seconds']:.1f}",
                f"{fast['seconds']:.2f}",
                f"{exact['seconds'] / fast['seconds']:.1f}",
                f"{exact['gb']:.2f}" if is_known else "",
                f"{fast['gb']:.2f}" if is_known else "",
                f"{abs(exact['value'] - fast['value']):.1e}",
            )
        )
    head = (f"{metrics['maps']} maps of {metrics['side']}²", "anomalib, s", "streaming, s", "faster", "anomalib, GB")
    return table((*head, "streaming, GB", "difference"), rows)


def _growth(growth: SpeedResult) -> str:
    rows = [
        (
            name,
            ", ".join(str(value) for value in line["values"]),
            ", ".join(f"{second:.2f}" for second in line["seconds"]),
            f"{line['slope'] * 1000:.3g}",
            f"{line['r2']:.3f}",
        )
        for name, line in growth.items()
    ]
    return table(("CoPS grows with", "values", "seconds", "ms for each more", "R² of a line"), rows)


def _drift(drift: SpeedResult) -> str:
    return (
        f"bfloat16 autocast, CoPS on the tiny stand-in, {drift['images']} synthetic images: scores move by at most "
        f"{drift['score']:.4f}, maps by {drift['map']:.4f}, image AUROC by {100 * drift['image_auroc_change']:+.2f} "
        f"from {100 * drift['image_auroc']:.2f}."
    )


def _start(start: SpeedResult) -> str:
    host = next(iter(start["imports"].values()))["median"]
    rows = [
        (f"`{code}`", f"{each['median']:.2f} ({each['least']:.2f}–{each['most']:.2f})", f"{each['median'] / host:.2f}")
        for code, each in start["imports"].items()
    ]
    own, scores = start["own_part"], start["first_score"]
    text = (
        f"\n\nOf the start of `anomalib predict`, {own['registering'] + own['making']:.2f} s are ours: "
        f"{own['registering']:.2f} s to register the models, and {own['making']:.2f} s to make one, without its frozen "
        "weights."
    )
    if scores:
        each = ", ".join(f"{seconds['median']:.2f} s with {name}" for name, seconds in scores.items())
        text += f" `Predictor` gives the first score of an exported CoPS, {start['backbone']}, after {each}."
    head = (f"new process, medians of {start['repetitions']}", "seconds (spread)", "× the first")
    return table(head, rows) + text


def _towers(towers: SpeedResult) -> str:
    rows = [
        (
            f"`{name}`",
            *(f"{each[kind]:.0f}" for kind in ("encode_image_gflop", "both_paths_gflop")),
            f"{each['both_paths_gflop'] / each['encode_image_gflop']:.2f}",
        )
        for name, each in towers.items()
    ]
    head = ("image tower", "encode_image, GFLOP", "both paths of CoPS, GFLOP", "× encode_image")
    return table(head, rows) + (
        "\n\nThe local path adds an attention and an output projection to every block. Attention is most of a block "
        "where the tower is narrow and reads many patches, so the share is largest there."
    )
