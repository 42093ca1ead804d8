"""What is trained: numbers of pictures and steps, learning rates, and the weights of the losses."""

from dataclasses import asdict, dataclass, field

from tools.tiny_clip.look_objective import LookWeights
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
        look_pairs: pictures of looks that are drawn, each with and without a foreign look; 0 to train without looks.
        look_levels: levels that these alternate between.
        look_batch_pairs: pairs of looks per step.
        look_batch_categories: categories of looks per step.
        hidden_rate: highest learning rate of Muon, which trains the image tower's blocks.
        rate: highest learning rate of AdamW, which trains everything else.
        warmup: share of the steps in which the rates rise; then they fall with a cosine.
        decay: weight decay of matrices.
        averaging: decay of the moving average that becomes the result.
        low_precision: whether products are computed in bfloat16.
        compiled: whether the image tower is compiled, which takes a minute and a C++ compiler.
        evaluated: pictures per category and state in every evaluation.
        evaluations: number of times that the average is evaluated and written.
        weights: weight of every loss term about damage.
        look_weights: weight of every loss term about looks.
    """

    steps: int = 2200
    pairs: int = 13_600
    levels: tuple[str, ...] = ("easy", "medium", "easy", "mixed")
    batch_pairs: int = 24
    batch_categories: int = 8
    look_pairs: int = 0
    look_levels: tuple[str, ...] = ("easy", "mixed")
    look_batch_pairs: int = 16
    look_batch_categories: int = 8
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
    look_weights: LookWeights = field(default_factory=LookWeights)

    @property
    def weight_of_term(self) -> dict[str, float]:
        """Weight of every loss term by its name; those about looks begin with "look_"."""
        return {**asdict(self.weights), **{f"look_{name}": value for name, value in asdict(self.look_weights).items()}}


RECIPES = {
    "damage": Recipe(),
    "looks": Recipe(
        steps=3800,
        pairs=5100,
        batch_pairs=12,
        batch_categories=4,
        look_pairs=6400,
        rate=8e-4,
        averaging=0.998,
        evaluations=6,
    ),
}
"""The recipe of each stand-in: ``tiny`` and ``tiny-looks``; the latter starts from the weights of the former."""
SMOKE = Recipe(
    steps=24,
    pairs=34,
    batch_pairs=6,
    batch_categories=3,
    look_pairs=32,
    look_batch_pairs=8,
    look_batch_categories=4,
    warmup=0.2,
    averaging=0.5,
    compiled=False,
    evaluated=1,
    evaluations=1,
)
"""A few steps on a few pictures, to see that all parts work."""
