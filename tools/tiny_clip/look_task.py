"""The part of a training that shows pictures of looks: their pool, their order, their sentences and their losses."""

import random
from typing import Any

import torch
from torch import Tensor

from anomalib_cops.data.synthetic import LOOK_CATEGORIES
from tools.tiny_clip.look_captions import LookCaptions
from tools.tiny_clip.look_objective import look_losses
from tools.tiny_clip.look_probes import LookProbes
from tools.tiny_clip.objective import Trainee
from tools.tiny_clip.pool import Pool, augment
from tools.tiny_clip.recipe import Recipe


class LookTask:
    """Pictures of looks, drawn before training starts.

    Args:
        recipe: what is trained.
        dim: size of the joint space.
        order: seed of the order.
        drawn: how pictures are drawn, as for :meth:`Pool.draw`.
    """

    def __init__(self, recipe: Recipe, dim: int, order: int, drawn: dict[str, Any]) -> None:
        self.pool = Pool.draw(recipe.look_pairs, levels=recipe.look_levels, names=LOOK_CATEGORIES, **drawn)
        self.batches = self.pool.batches(recipe.look_batch_pairs, recipe.look_batch_categories, order)
        # A training that is resumed begins with new probes, which are fitted within a few steps.
        self.probes = LookProbes(dim)

    def losses(self, trainee: Trainee, generator: torch.Generator, wording: random.Random) -> dict[str, Tensor]:
        """Return the loss terms of the next batch, their names with "look_" before them."""
        rows, _ = next(self.batches)
        images, coverage = augment(self.pool.images[rows], self.pool.coverage[rows], generator)
        categories, foreign = self.pool.categories[rows], self.pool.defects[rows]
        captions = LookCaptions.random(wording, categories.tolist(), foreign.tolist())
        terms = look_losses(trainee, self.probes, images, coverage, categories, foreign, captions)
        return {f"look_{name}": value for name, value in terms.items()}
