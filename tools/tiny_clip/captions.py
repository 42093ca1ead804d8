"""What the training pictures are called: one sentence per category and state, drawn anew for every step."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import open_clip
import torch
from jaxtyping import Int
from torch import Tensor

from anomalib_cops.data.synthetic import CATEGORIES, DEFECTS
from anomalib_cops.prompts.wording import ANOMALOUS_STATES, NORMAL_STATES, TEMPLATES, noun

_NORMAL = (
    *NORMAL_STATES, "good {}", "normal {}", "intact {}", "undamaged {}", "clean {}", "{} in good condition",
    "{} without any defect", "{} without anomaly", "new {}",
)  # fmt: skip
_ANOMALOUS = (
    *ANOMALOUS_STATES, "broken {}", "defective {}", "abnormal {}", "faulty {}", "dirty {}", "{} in bad condition",
    "{} with a defect", "{} with anomaly", "imperfect {}", "flawed {}",
)  # fmt: skip
_TEMPLATES = (
    *TEMPLATES, "a bright photo of a {}.", "a dark photo of the {}.", "a blurry photo of a {}.",
    "{}", "{}.", "a {}", "a {}.", "the {}.", "an image of a {}.", "a picture of the {}.",
    "this is a photo of a {}.",
    "a close-up photo of the {} on the production line for quality control.",
    "X X X X X X {}.", "X X X X X X X X X X {}.",
)  # fmt: skip
_GENERIC = ("object", "product", "item", "part", "surface", "thing", "material")
# Words that are never learned: they stand for every product the model has no word for.
_STRANGERS = ("violin", "lantern", "zebra", "castle", "umbrella", "pumpkin", "harbour", "walrus", "trumpet", "cactus")
# Sentences with vectors for words: the product's look stands for {product}, that of its defect for {defect}.
_PICTURED = (
    *(tuple(state.format("{product}") for state in pair) for pair in zip(_NORMAL, _ANOMALOUS, strict=False)),
    ("{product} without {defect}", "{product} with {defect}"), ("no {defect}", "{defect}"),
    ("{product}", "{product} {defect}"), ("unlike {defect}", "unlike {product}"),
    ("X X X unlike {defect} {defect} {defect} {product}", "X X X unlike {product} {product} {product} {product}"),
)  # fmt: skip
_LOOKS = {"product": "banana", "defect": "kangaroo"}
PICTURED = tuple(int(open_clip.tokenize([word])[0, 1]) for word in _LOOKS.values())
"""Token ids of the two words that looks stand for; no caption uses them otherwise."""
_DEFECT_STATES = ("{} with a {defect}", "{} with {defect}", "{} that has a {defect}", "{defect} on a {}", "{defect}")


@dataclass(frozen=True)
class Captions:
    """Sentences of one training step.

    Attributes:
        states: For each category of the step, the normal and the anomalous sentence.
        bare: For each category of the step, a sentence that names nothing else.
        generic: The normal and the anomalous sentence about a product without a name of its own.
        defects: For each kind of defect, a sentence that names it.
        pictured: Normal and anomalous sentences in which the words of ``PICTURED`` stand for looks.
    """

    states: list[str]
    bare: list[str]
    generic: list[str]
    defects: list[str]
    pictured: list[str]

    @classmethod
    def random(
        cls, rng: random.Random, categories: Sequence[int] = range(len(CATEGORIES)), pictured: int = 0
    ) -> "Captions":
        """Draws one wording for every sentence.

        Args:
            rng: Decides.
            categories: Indices into ``CATEGORIES``.
            pictured: Pairs of sentences with looks for words.
        """
        nouns = [noun(CATEGORIES[category]) for category in categories]
        template, normal, anomalous = rng.choice(_TEMPLATES), rng.choice(_NORMAL), rng.choice(_ANOMALOUS)
        states = []
        for name in nouns:
            # Often categories share a wording, so that only the noun and the state tell them apart.
            if rng.random() < 0.5:
                normal, anomalous = rng.choice(_NORMAL), rng.choice(_ANOMALOUS)
            states += [template.format(state.format(name)) for state in (normal, anomalous)]
        bare_template, defect_state = rng.choice(_TEMPLATES), rng.choice(_DEFECT_STATES)
        word, whole = rng.choice(_GENERIC + _STRANGERS), rng.choice(_TEMPLATES)
        pair = (rng.choice(_NORMAL), rng.choice(_ANOMALOUS))
        return cls(
            states=states,
            bare=[bare_template.format(name) for name in nouns],
            generic=[whole.format(state.format(word)) for state in pair],
            defects=[whole.format(defect_state.format(word, defect=noun(defect))) for defect in DEFECTS],
            pictured=[
                rng.choice(_TEMPLATES).format(state.format(**_LOOKS))
                for _ in range(pictured)
                for state in rng.choice(_PICTURED)
            ],
        )

    def kinds(self) -> tuple[list[str], ...]:
        """Sentences by kind: states, bare, generic, defects, pictured."""
        return self.states, self.bare, self.generic, self.defects, self.pictured

    def all(self) -> list[str]:
        """Every sentence, kind after kind."""
        return [sentence for kind in self.kinds() for sentence in kind]


@lru_cache(maxsize=50_000)
def _ids(sentence: str) -> tuple[int, ...]:
    row = open_clip.tokenize([sentence])[0]
    return tuple(row[: int(row.argmax()) + 1].tolist())


def tokenize(sentences: Iterable[str]) -> Int[Tensor, "sentences tokens"]:
    """Token ids of the CLIP tokenizer, padded with zeros to the longest sentence only."""
    rows = [_ids(sentence) for sentence in sentences]
    longest = max(map(len, rows))
    return torch.tensor([row + (0,) * (longest - len(row)) for row in rows])


def vocabulary() -> Int[Tensor, " rows"]:
    """Ids of all tokens that captions are made of, ascending; the strangers are left out on purpose."""
    words = (*_NORMAL, *_ANOMALOUS, *_TEMPLATES, *_GENERIC, *_DEFECT_STATES)
    pieces = [text.replace("{}", " ").replace("{defect}", " ") for text in words]
    pieces += [text.format(product="", defect="") for pair in _PICTURED for text in pair]
    pieces += [noun(name) for name in (*CATEGORIES, *DEFECTS)]
    known = {token for piece in pieces for token in _ids(piece)} - {0}
    return torch.tensor(sorted(known))
