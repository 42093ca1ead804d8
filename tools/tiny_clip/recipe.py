"""What is trained: numbers of pictures and steps, learning rates, and the weights of the losses."""

from dataclasses import dataclass, field

from tools.tiny_clip.objective import Weights


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the result besides the seed.

    Attributes:
        steps: training steps.
        pairs: pictures that are drawn, each with and without its defect.
        levels: levels of difficulty that the pairs alternate between.
        batch_pairs: pairs per step.
        batch_categories: categories per step.
        hidden_rate: highest learning rate of Muon, which trains the image tower's blocks.
        rate: highest learning rate of AdamW, which trains everything else.
        warmup: share of the steps in which the rates rise; then they fall with a cosine.
        decay: weight decay of matrices.
        averaging: decay of the moving average that becomes the result.
        low_precision: whether products are computed in bfloat16.
        compiled: whether the image tower is compiled, which takes a minute and a C++ compiler.
        evaluated: pictures per category and state in every evaluation.
        evaluations: number of times that the average is evaluated and written.
        weights: weight of every loss term.
    """

    steps: int = 2200
    pairs: int = 13_600
    levels: tuple[str, ...] = ("easy", "medium", "easy", "mixed")
    batch_pairs: int = 24
    batch_categories: int = 8
    hidden_rate: float = 0.01
    rate: float = 5e-4
    warmup: float = 0.03
    decay: float = 0.05
    averaging: float = 0.997
    low_precision: bool = True
    compiled: bool = True
    evaluated: int = 12
    evaluations: int = 8
    weights: Weights = field(default_factory=Weights)


SMOKE = Recipe(
    steps=24,
    pairs=34,
    batch_pairs=8,
    batch_categories=4,
    warmup=0.2,
    averaging=0.5,
    compiled=False,
    evaluated=1,
    evaluations=1,
)
"""A few steps on a few pictures, to see that all parts work."""
