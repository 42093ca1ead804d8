"""The synthetic data set: a table of addresses from which the pictures are drawn when they are needed."""

from pandas import DataFrame

from anomalib_cops.data import synthetic
from anomalib_cops.data.sets.samples import MaskUse
from anomalib_cops.errors import InputError, nearest


class SyntheticSet:
    """Synthetic pictures of all categories of one world.

    Half of the pictures of a category are good; the others show the category's defects in turn. Every picture has an
    index of its own, so no product is shown both with and without a defect.

    Args:
        count: Pictures per category, at least 4.
        size: Side of a picture in pixels.
        seed: Seed of all pictures.
        level: How much the defects stand out, one of ``synthetic.LEVELS``.
        world: What the defects are, one of ``synthetic.WORLDS``.

    Raises:
        InputError: There are too few pictures, or the level or the world is unknown.
    """

    name = "synthetic"
    identity = "synthetic"
    has_mask_rule = True

    def __init__(self, count: int, size: int, seed: int, level: str = "mixed", world: str = "damage") -> None:
        if count < 4:
            raise InputError(f"synthetic_samples={count} is too few; at least 4 per category are needed.")
        if level not in synthetic.LEVELS:
            raise InputError(f"unknown level {level!r} of the synthetic world{nearest(level, synthetic.LEVELS)}")
        if world not in synthetic.WORLDS:
            raise InputError(f"there is no synthetic world {world!r}{nearest(world, synthetic.WORLDS)}")
        self.categories = synthetic.WORLDS[world]
        self.count = count
        self.folder = f"synthetic/{size}px-seed{seed}" + (f"-{level}" if level != "mixed" else "")

    def samples(self, category: str, masks: MaskUse | None = None) -> DataFrame:
        """List one category: a row per picture, as ``LabelledImages`` takes them; every picture has a mask."""
        good = (self.count + 1) // 2
        defects = synthetic.defects_of(category)
        labels = ["good"] * good + [defects[index % len(defects)] for index in range(self.count - good)]
        rows = [
            (f"{self.folder}/{category}/{label}/{index:06d}.png", label, int(label != "good"))
            for index, label in enumerate(labels)
        ]
        samples = DataFrame(rows, columns=["image_path", "label", "label_index"])
        return samples.assign(mask_path="", set=self.name, category=category, masked=True)
