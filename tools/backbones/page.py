"""Make the tables of ``docs/backbones.md`` from the records of all backbones."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from anomalib_cops.registry import METHODS
from tools.tables import filled

FAMILIES = ("CLIP", "MetaCLIP 2", "CLIPA", "EVA", "MobileCLIP", "Perception Encoder", "SigLIP", "SigLIP 2")
IMAGE_ONLY = ("DINOv2", "DINOv3")
FEW_TAGS = 2
MILLION = 1_000_000
COLUMNS = (
    *("backbone", "pretrained tags", "parameters, millions: image + text", "pixels", "patch", "tokens"),
    *("both paths, × encode_image", "GFLOP, CoPS", "× encode_image", *METHODS, "licence of the weights"),
)
IMAGE_ONLY_COLUMNS = (
    *("backbone", "pretrained tags", "parameters, millions", "pixels", "patch", "GFLOP, LinearProbe"),
    *("× encode_image", "LinearProbe", "licence of the weights"),
)


def filled_page(text: str, result: Mapping[str, Any]) -> str:
    """Return the page's text with its tables made from a result of :func:`tools.backbones.__main__.measure`."""
    records = result["backbones"]
    text = filled(text, "count", summary(result))
    text = filled(text, "backbones", usable(records))
    text = filled(text, "image-only", image_only(records))
    return filled(text, "refused", refused(records))


def summary(result: Mapping[str, Any]) -> str:
    """Return how many models can be used, with which releases, and how long counting took."""
    versions = result["versions"]
    records = [each for each in result["backbones"].values() if each.get("family") not in IMAGE_ONLY]
    count = sum("refused" not in each for each in records)
    return (
        f"Of the {len(records)} models that open_clip {versions['open_clip_torch']} lists (timm {versions['timm']}), "
        f"{count} can be used. Counted with torch {versions['torch']} in {result['minutes']:.0f} minutes."
    )


def usable(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a Markdown table of the usable backbones for each family."""
    lines = []
    for family in FAMILIES:
        rows = {name: each for name, each in records.items() if each.get("family") == family}
        lines += [f"### {family}", "", _row(COLUMNS), _row(["---"] * len(COLUMNS))]
        lines += [_row(_cells(name, record)) for name, record in rows.items()]
        lines += [""]
    return "\n".join(lines).rstrip()


def image_only(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a Markdown table of the image towers without a text tower."""
    lines = [_row(IMAGE_ONLY_COLUMNS), _row(["---"] * len(IMAGE_ONLY_COLUMNS))]
    for name, record in records.items():
        if record.get("family") in IMAGE_ONLY:
            probe, plain = record["linear_probe_gflop"], record["encode_image_gflop"]
            sizes = [f"{record['image_parameters'] / MILLION:.0f}", str(record["image_size"]), str(record["patch"])]
            costs = [f"{probe:.0f}", f"{probe / plain:.2f}"]
            cells = [f"`{name}`", _tags(list(record["licences"])), *sizes, *costs]
            lines.append(_row([*cells, _support(record["methods"]["LinearProbe"]), _licences(record["licences"])]))
    return "\n".join(lines)


def refused(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a Markdown table of the refused backbones for each reason."""
    reasons = sorted((each["refused"], name) for name, each in records.items() if "refused" in each)
    lines = [_row(["the message says", "of"]), _row(["---", "---"])]
    for reason, group in groupby(reasons, key=lambda pair: pair[0]):
        lines.append(_row([reason, ", ".join(f"`{name}`" for _, name in group)]))
    return "\n".join(lines)


def _cells(name: str, record: Mapping[str, Any]) -> list[str]:
    image, text = (f"{record[f'{tower}_parameters'] / MILLION:.0f}" for tower in ("image", "text"))
    counts = [record.get(f"{what}_gflop") for what in ("both_paths", "cops", "encode_image")]
    return [
        f"`{name}`",
        _tags(list(record["licences"])),
        f"{image} + {text}",
        str(record["image_size"]),
        str(record["patch"]),
        str(record["context"]),
        *_operations(*counts),
        *(_support(record["methods"][method]) for method in METHODS),
        _licences(record["licences"]),
    ]


def _operations(both: float | None, cops: float | None, plain: float | None) -> list[str]:
    if both is None or cops is None or plain is None:
        return ["–"] * 3
    return [f"{both / plain:.2f}", f"{cops:.0f}", f"{cops / plain:.2f}"]


def _tags(tags: list[str]) -> str:
    if not tags:
        return "none"
    return ", ".join(f"`{tag}`" for tag in tags) if len(tags) <= FEW_TAGS else f"{len(tags)} tags"


def _support(settings: Mapping[str, Any] | None) -> str:
    if settings is None:
        return "refused"
    needed = ", ".join(f"`{name}={value}`" for name, value in settings.items())
    return f"needs {needed}" if needed else "works"


def _licences(of_tags: Mapping[str, str]) -> str:
    """Return the licence that all tags share, or the tags of each licence."""
    by_licence: dict[str, list[str]] = {}
    for tag, licence in of_tags.items():
        by_licence.setdefault(licence, []).append(tag)
    if len(by_licence) <= 1:
        return next(iter(by_licence), "–")
    return "; ".join(f"{licence}: {_tags(tags)}" for licence, tags in by_licence.items())


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
