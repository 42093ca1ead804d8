"""Estimate how long a million images take, from the measured speed of one: a table of ``docs/score.md``."""

from typing import Any

from benchmark.speed.tables import method_stages

IMAGES = 1_000_000
MACHINES = (1, 10, 100)
CARD_TFLOPS = 50
"""Operations per second that a graphics card is assumed to sustain; nobody measured it here."""
_HOUR, _DAY = 3600, 24


def million_table(speed: dict[str, Any]) -> str:
    """Return days and hours per method on machines like the measured one, and on an assumed graphics card."""
    inference, machine = speed["inference"], speed["provenance"]["machine"]
    lines = [
        f"**Estimate, not a measurement** of a million images. Measured is one image: {inference['backbone']} at "
        f"{inference['image_size']} pixels, float32, {speed['threads']} threads of {machine['processor']}. Everything "
        "else is division; reading files and waiting for each other are left out.",
        "",
        "| method | images per second, measured | "
        + " | ".join(f"{count} such machine{'s' * (count > 1)}" for count in MACHINES)
        + f" | a card that sustains {CARD_TFLOPS} TFLOP/s |",
        "|---|---|" + "---|" * (len(MACHINES) + 1),
    ]
    works = inference["works"]
    for name, stages in method_stages(works).items():
        if stages == [name]:
            continue
        seconds = sum(works[stage]["seconds"]["median"] for stage in stages)
        gflop = sum(works[stage]["gflop"] for stage in stages)
        spans = [_span(IMAGES * seconds / count) for count in MACHINES]
        card = _span(IMAGES * gflop / (1000 * CARD_TFLOPS))
        lines.append(f"| {name} | {1 / seconds:.2f} | {' | '.join(spans)} | {card} |")
    return "\n".join(lines)


def _span(seconds: float) -> str:
    hours = seconds / _HOUR
    return f"{hours / _DAY:.0f} days" if hours > 2 * _DAY else f"{hours:.0f} hours"
