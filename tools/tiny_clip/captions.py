"""Captions of the training pictures: one sentence per category and state, drawn anew for every step."""

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
ALL_TEMPLATES = (
    *TEMPLATES, "a bright photo of a {}.", "a dark photo of the {}.", "a blurry photo of a {}.",
    "{}", "{}.", "a {}", "a {}.", "the {}.", "an image of a {}.", "a picture of the {}.",
    "this is a photo of a {}.",
    "a close-up photo of the {} on the production line for quality control.",
    "X X X X X X {}.", "X X X X X X X X X X {}.",
)  # fmt: skip
GENERIC = ("object", "product", "item", "part", "surface", "thing", "material")
# Words without a row of their own in the vocabulary, in place of all products that the model has no word for.
_STRANGERS = ("violin", "lantern", "zebra", "castle", "umbrella", "pumpkin", "harbour", "walrus", "trumpet", "cactus")
# Sentences in which mean patch features replace words: those of the product {product}, those of its defect {defect}.
_PICTURED = (
    *(tuple(state.format("{product}") for state in pair) for pair in zip(_NORMAL, _ANOMALOUS, strict=False)),
    ("{product} without {defect}", "{product} with {defect}"), ("no {defect}", "{defect}"),
    ("{product}", "{product} {defect}"), ("unlike {defect}", "unlike {product}"),
    ("X X X unlike {defect} {defect} {defect} {product}", "X X X unlike {product} {product} {product} {product}"),
)  # fmt: skip
LOOK_WORDS = {"product": "banana", "defect": "kangaroo"}
PICTURED = tuple(int(open_clip.tokenize([word])[0, 1]) for word in LOOK_WORDS.values())
"""Token ids of the two words that mean patch features replace; no caption uses them otherwise."""
_DEFECT_STATES = ("{} with a {defect}", "{} with {defect}", "{} that has a {defect}", "{defect} on a {}", "{defect}")


@dataclass(frozen=True)
class Captions:
    """Sentences of one training step.

    Attributes:
        states: the normal and the anomalous sentence about each category of the step.
        bare: a sentence about each category of the step that names no state.
        generic: the normal and the anomalous sentence about a product without a name of its own.
        defects: a sentence about each kind of defect.
        pictured: normal and anomalous sentences in which mean patch features replace the words of ``PICTURED``.
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
        """Draw one wording for every sentence.

        Args:
            rng: random numbers that decide on the wordings.
            categories: indices into ``CATEGORIES``.
            pictured: number of pairs of sentences in which features replace words.
        """
        nouns = [noun(CATEGORIES[category]) for category in categories]
        template, normal, anomalous = rng.choice(ALL_TEMPLATES), rng.choice(_NORMAL), rng.choice(_ANOMALOUS)
        states = []
        for name in nouns:
            # Often categories share a wording, so that only the noun and the state tell them apart.
            if rng.random() < 0.5:
                normal, anomalous = rng.choice(_NORMAL), rng.choice(_ANOMALOUS)
            states += [template.format(state.format(name)) for state in (normal, anomalous)]
        bare_template, defect_state = rng.choice(ALL_TEMPLATES), rng.choice(_DEFECT_STATES)
        word, whole = rng.choice(GENERIC + _STRANGERS), rng.choice(ALL_TEMPLATES)
        pair = (rng.choice(_NORMAL), rng.choice(_ANOMALOUS))
        return cls(
            states=states,
            bare=[bare_template.format(name) for name in nouns],
            generic=[whole.format(state.format(word)) for state in pair],
            defects=[whole.format(defect_state.format(word, defect=noun(defect))) for defect in DEFECTS],
            pictured=[
                rng.choice(ALL_TEMPLATES).format(state.format(**LOOK_WORDS))
                for _ in range(pictured)
                for state in rng.choice(_PICTURED)
            ],
        )

    def kinds(self) -> tuple[list[str], ...]:
        """Return the sentences by kind: states, bare, generic, defects, pictured."""
        return self.states, self.bare, self.generic, self.defects, self.pictured

    def all(self) -> list[str]:
        """Return all sentences, kind by kind."""
        return [sentence for kind in self.kinds() for sentence in kind]


@lru_cache(maxsize=50_000)
def ids_of(sentence: str) -> tuple[int, ...]:
    """Return the token ids of a sentence by CLIP's tokenizer, without padding."""
    row = open_clip.tokenize([sentence])[0]
    return tuple(row[: int(row.argmax()) + 1].tolist())


def tokenize(sentences: Iterable[str]) -> Int[Tensor, "sentences tokens"]:
    """Return the token ids of CLIP's tokenizer, padded with zeros to the longest sentence only."""
    rows = [ids_of(sentence) for sentence in sentences]
    longest = max(map(len, rows))
    return torch.tensor([row + (0,) * (longest - len(row)) for row in rows])


def pieces() -> list[str]:
    """Return all words of these captions, without ``_STRANGERS``."""
    words = (*_NORMAL, *_ANOMALOUS, *ALL_TEMPLATES, *GENERIC, *_DEFECT_STATES)
    found = [text.replace("{}", " ").replace("{defect}", " ") for text in words]
    found += [text.format(product="", defect="") for pair in _PICTURED for text in pair]
    return [*found, *(noun(name) for name in (*CATEGORIES, *DEFECTS))]
