"""Hand-written English sentences about the two states of a product."""

from typing import Literal

State = Literal["normal", "anomalous"]

NORMAL_STATES: tuple[str, ...] = (
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)
"""State phrases of WinCLIP (Jeong et al., CVPR 2023, table 7) for a normal product, without the bare "{}"."""

ANOMALOUS_STATES: tuple[str, ...] = (
    "damaged {}",
    "{} with flaw",
    "{} with defect",
    "{} with damage",
)
"""State phrases of WinCLIP for an anomalous product."""

TEMPLATES: tuple[str, ...] = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a close-up photo of a {}.",
    "a cropped photo of the {}.",
    "a photo of a {} for visual inspection.",
    "a photo of the {} for anomaly detection.",
)
"""Sentences around a state phrase."""


def noun(category: str) -> str:
    """Return a category's name as words: ``metal_nut`` becomes "metal nut"."""
    return category.replace("_", " ").strip()


def sentences(category: str, state: State) -> list[str]:
    """Return all sentences about a product of a category in a state: every template with every state phrase."""
    phrases = NORMAL_STATES if state == "normal" else ANOMALOUS_STATES
    return [template.format(phrase.format(noun(category))) for phrase in phrases for template in TEMPLATES]
