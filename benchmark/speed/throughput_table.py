"""Print the throughput of whole commands beside that of their stages as a Markdown table."""

from collections.abc import Sequence
from typing import Any

THROUGHPUT_STAGES = {
    "score": ("model", "reading in processes"),
    "predict": ("model", "reading in threads"),
    "predict with pictures": ("model", "reading in threads", "drawing"),
}
"""What runs from files to results, and the stages of it that are measured alone."""


def throughput_table(throughput: dict[str, Any]) -> str:
    """Print the images per second of every stage and command.

    A command is compared with its slowest stage, and with all of its stages one after another: where each stage alone
    can use all processors, a command cannot be much faster than the latter.
    """
    rates = throughput["images_per_second"]
    rows = [(name, f"{rates[name]:.1f}", "", "", "") for name in rates if name not in THROUGHPUT_STAGES]
    for name, stages in THROUGHPUT_STAGES.items():
        rate, slowest = rates[name], min(stages, key=rates.__getitem__)
        apart = sum(rate / rates[stage] for stage in stages)
        rows.append((name, f"{rate:.1f}", slowest, f"{rate / rates[slowest]:.2f}", f"{apart:.2f}"))
    workers = f"{throughput['workers']} worker" + "s" * (throughput["workers"] > 1)
    head = (f"{throughput['images']} images of {throughput['side']}², tiny model, {workers}", "images/s")
    return table((*head, "slowest stage", "× its images/s", "× stages one by one"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Print rows below a head as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
