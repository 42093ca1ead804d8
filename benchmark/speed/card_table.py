"""Print the speed on a graphics card as Markdown."""

from typing import Any

from .throughput_table import table


def card_table(result: dict[str, Any] | None) -> str:
    """Print the content of ``card.json``; that nothing was measured, without it."""
    if result is None:
        return "On graphics cards: not measured."
    machine, card = result["provenance"]["machine"], result["card"]
    rows = [
        (
            f"{row['name']}, batches of {row['batch']}",
            f"{row['images_per_second']:.1f}",
            f"{row['times_plain']:.1f}",
            "" if row["share"] is None else f"{100 * row['share']:.0f} %",
        )
        for row in card["rows"]
    ]
    head = ("CoPS", "images/s", "× plain", "of the card's bfloat16 rate")
    return (
        f"Random weights of {card['backbone']} at {card['image_size']} pixels on {machine['gpu'] or 'no card'}, whose "
        f"bfloat16 products reach {card['product_tflops']:.1f} TFLOP/s, torch "
        f"{result['provenance']['versions']['torch']}.\n\n" + table(head, rows)
    )
