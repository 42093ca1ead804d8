"""Markdown tables and a picture of what ``speed`` measured."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import write_bytes

PLAIN = "open_clip encode_image"
Result = dict[str, Any]


def tables(result: Result) -> str:
    """All tables of a result, with where it comes from."""
    lines = [
        _source(result),
        "",
        _inference(result["inference"]),
        "",
        _memory(result["memory"], result["inference"]["backbone"]),
        "",
        _training(result["training"]),
        "",
        _metrics(result["metrics"]),
        "",
        _growth(result["growth"]),
        "",
        _drift(result["drift"]),
    ]
    if result["inference"]["variants"]:
        lines += ["", _variants(result["inference"]["variants"])]
    return "\n".join(lines)


def summary(result: Result) -> str:
    """The first table alone, with where it comes from."""
    return "\n\n".join((_source(result), _inference(result["inference"]), _training(result["training"])))


def _source(result: Result) -> str:
    source = result["provenance"]
    machine, versions = source["machine"], source["versions"]
    threads = f"{result['threads']} thread" + "s" * (result["threads"] > 1)
    where = f"{threads} of {machine['gpu'] or machine['processor']}"
    return (
        f"Random weights of {result['inference']['backbone']} at {result['inference']['image_size']} pixels, one "
        f"image, float32, {where}, torch {versions['torch']}, open_clip {versions['open_clip_torch']}; medians of "
        f"{result['repetitions']} interleaved runs. Operations are counted and exact, seconds are not: the machine may "
        "have done other things."
    )


def _inference(found: Result) -> str:
    works = found["works"]
    rows = [(PLAIN, "", "", "", *_whole(works, [PLAIN]))]
    for name in dict.fromkeys(name.partition("/")[0] for name in works if name != PLAIN):
        vision, text, rest = (works[f"{name}/{stage}"] for stage in ("vision", "text", "rest"))
        alignment = max(rest["seconds"]["median"] - text["seconds"]["median"], 0)
        stages = (vision["seconds"]["median"], text["seconds"]["median"], alignment)
        rows.append((name, *(f"{second:.2f}" for second in stages), *_whole(works, [f"{name}/vision", f"{name}/rest"])))
    (many,) = (name for name in works if "R=" in name)
    label = many.replace("/rest,", " with")
    rows.append((label, "", "", "", *_whole(works, ["CoPS/vision", many])))
    head = ("one image", "vision, s", "prompts and text, s", "alignment, s", "end to end, s (spread)")
    share = works["CoPS/text"]["seconds"]["median"] / works["CoPS/vision"]["seconds"]["median"]
    both = works["CoPS/vision"]["gflop"] / works[PLAIN]["gflop"]
    return (
        _table((*head, "× encode_image", "GFLOP", "× encode_image"), rows)
        + f"\n\nBoth vision paths of CoPS take {both:.3f} times the operations of encode_image, "
        f"{_ratio(works, ['CoPS/vision']):.2f} times its time; prompts and text take {100 * share:.1f} % of that."
    )


def _whole(works: Result, parts: Sequence[str]) -> tuple[str, ...]:
    """Seconds and operations of works together."""
    median, least, most = (sum(works[part]["seconds"][key] for part in parts) for key in ("median", "least", "most"))
    operations = sum(works[part]["gflop"] for part in parts)
    return (
        f"{median:.2f} ({least:.2f}–{most:.2f})",
        f"{_ratio(works, parts):.2f}",
        f"{operations:.1f}",
        f"{operations / works[PLAIN]['gflop']:.3f}",
    )


def _ratio(works: Result, parts: Sequence[str], measure: str = "seconds") -> float:
    """Of works together to open_clip's."""

    def value(name: str) -> float:
        return float(works[name]["gflop"] if measure == "gflop" else works[name]["seconds"]["median"])

    return sum(map(value, parts)) / value(PLAIN)


def _memory(found: Result, backbone: str) -> str:
    names = {"32-true": "float32", "bf16-true": "bfloat16"}
    rows = [
        (names[precision], *(f"{peaks[stage]:.2f}" for stage in ("imports", "loaded", "predicted")))
        for precision, peaks in found.items()
    ]
    head = (f"predicting with {backbone}, weights in", "imports, GB", "and loading, GB", "and predicting, GB")
    return _table(head, rows)


def _training(found: Result) -> str:
    cached, plain = found["cached"], found["plain"]
    first, total = cached["seconds"][0], sum(cached["seconds"])
    shared = len(plain["losses"])
    apart = max(abs(a - b) / abs(b) for a, b in zip(cached["losses"][:shared], plain["losses"], strict=True))
    without = sum(plain["seconds"]) / shared * len(cached["seconds"])
    count = len(cached["seconds"])
    return (
        f"Training CoPS on {found['images']} images, {found['backbone']} at {found['image_size']} pixels: {count} "
        f"epochs with the feature cache take {total:.1f} s, {total / first:.2f} times the first epoch ({first:.1f} s); "
        f"without it, {without:.1f} s ({shared} measured). Losses differ by at most {apart:.1e} of their value. The "
        f"cache has {found['cache_gb']:.3f} GB."
    )


def _metrics(found: Result) -> str:
    rows = []
    for name, kinds in found["metrics"].items():
        exact, fast = kinds["exact"], kinds["streaming"]
        known = exact["gb"] is not None
        rows.append(
            (
                name,
                f"{exact['seconds']:.1f}",
                f"{fast['seconds']:.2f}",
                f"{exact['seconds'] / fast['seconds']:.1f}",
                f"{exact['gb']:.2f}" if known else "",
                f"{fast['gb']:.2f}" if known else "",
                f"{abs(exact['value'] - fast['value']):.1e}",
            )
        )
    head = (f"{found['maps']} maps of {found['side']}²", "anomalib, s", "streaming, s", "faster", "anomalib, GB")
    return _table((*head, "streaming, GB", "difference"), rows)


def _growth(found: Result) -> str:
    rows = [
        (
            name,
            ", ".join(str(value) for value in line["values"]),
            ", ".join(f"{second:.2f}" for second in line["seconds"]),
            f"{line['slope'] * 1000:.3g}",
            f"{line['r2']:.3f}",
        )
        for name, line in found.items()
    ]
    return _table(("CoPS grows with", "values", "seconds", "ms for each more", "R² of a line"), rows)


def _drift(found: Result) -> str:
    return (
        f"bfloat16 autocast, CoPS on the tiny stand-in, {found['images']} synthetic images: scores move by at most "
        f"{found['score']:.4f}, maps by {found['map']:.4f}, image AUROC by {100 * found['image_auroc_change']:+.2f} "
        f"from {100 * found['image_auroc']:.2f}."
    )


def _variants(found: Result) -> str:
    rows = [
        (name, f"{each['images_per_second']:.1f}", f"{100 * each['share_of_bf16_rate']:.0f} %")
        for name, each in found.items()
    ]
    return _table(("CoPS, batches of 8", "images/s", "of the card's bfloat16 rate"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def picture(result: Result, path: Path) -> None:
    """Bars of operations and seconds, as multiples of open_clip's ``encode_image``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    works = result["inference"]["works"]
    parts = {PLAIN: [PLAIN]} | {
        name: [f"{name}/vision", f"{name}/rest"] for name in ("AdaCLIP", "AnomalyCLIP", "CoPS", "VCPCLIP")
    }
    names = list(parts)
    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    for offset, (measure, label) in enumerate((("gflop", "operations"), ("seconds", "seconds"))):
        values = [_ratio(works, each, measure) for each in parts.values()]
        axes.barh([row + 0.4 * offset for row in range(len(names))], values, height=0.38, label=label)
    axes.set_yticks([row + 0.2 for row in range(len(names))], names)
    axes.invert_yaxis()
    axes.set_xlabel("multiple of open_clip's encode_image")
    axes.legend()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    pyplot.close(figure)
    write_bytes(path, drawn.getvalue())
