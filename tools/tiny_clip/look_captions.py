"""Captions of the pictures of looks: they name product and appearance, and never a state."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from anomalib_cops.data.synthetic import LOOK_CATEGORIES
from anomalib_cops.data.synthetic.confusable import OWN_LOOK
from anomalib_cops.data.synthetic.looks import LOOKS
from anomalib_cops.prompts.wording import ANOMALOUS_STATES, NORMAL_STATES, noun
from tools.tiny_clip.captions import ALL_TEMPLATES, GENERIC, LOOK_WORDS

_PRODUCTS = ("{}", "{} with {own}", "{} full of {own}", "{} covered with {own}")
_ALONE = ("{look}", "some {look}", "a surface with {look}", "many {look}", "{look} on a {thing}")
# Learned prompts are words without grammar; so are these.
_LOOSE = (
    *("X", "X", "X", "X", "photo", "image", "of", "a", "the", "production", "line", "quality", "control"),
    *("close-up", "surface", "part", "with", "in"),
)
_LIKE = ("{w}", "like {w}", "{w} {w}", "X X X {w} {w}")
_UNLIKE = ("unlike {w}", "unlike {w} {w}", "X X X unlike {w} {w} {w} {w}")
# Of the normal and of the anomalous sentence: whether its words are features of the defect, and whether it says "like".
_RELATIONS = (
    ((True, False), (False, False)),
    ((True, False), (False, False)),
    ((False, True), (False, False)),
    ((False, True), (True, True)),
)
_IN_PROMPT_LAYOUT = 0.7
_NAMED = 0.6
_PRODUCTS_OF = {look: [name for name, own in OWN_LOOK.items() if own == look] for look in LOOKS}
_STATES_TOLD = 4


@dataclass(frozen=True)
class LookCaptions:
    """Sentences of one training step about pictures of looks.

    Attributes:
        products: of every pair, a sentence about both of its pictures.
        looks: a sentence about each look.
        states: normal and anomalous sentences of the usual wording, which mean nothing in these pictures.
        pictured: of every pair, a normal and an anomalous sentence in which patch features of the picture replace
            words. Where such a sentence ends with a product, it is one that has the look of these features.
        swapped: whether the features of the product and of the defect change places, so that no sentence means "odd".
        of_defect: whether each of these features are those of the defect.
        alike: whether each of these sentences says "like" or "unlike" them.
    """

    products: list[str]
    looks: list[str]
    states: list[str]
    pictured: list[str]
    swapped: list[bool]
    of_defect: list[tuple[bool, bool]]
    alike: list[tuple[bool, bool]]

    @classmethod
    def random(cls, rng: random.Random, categories: Sequence[int], foreign: Sequence[int]) -> "LookCaptions":
        """Draw one wording for every sentence.

        Args:
            rng: random numbers that decide on the wordings.
            categories: of every pair, an index into ``LOOK_CATEGORIES``.
            foreign: of every pair, the look of its defect, an index into ``LOOKS``.
        """
        names = [noun(name) + "s" for name in LOOKS]
        products = []
        for category in categories:
            name = LOOK_CATEGORIES[category]
            own = names[list(LOOKS).index(OWN_LOOK[name])]
            template = rng.choice(ALL_TEMPLATES)
            products.append(template.format(rng.choice(_PRODUCTS).replace("{}", noun(name)).format(own=own)))
        alone, whole, thing = rng.choice(_ALONE), rng.choice(ALL_TEMPLATES), rng.choice(GENERIC)
        states, template = [], rng.choice(ALL_TEMPLATES)
        for category in categories[:_STATES_TOLD]:
            word = noun(LOOK_CATEGORIES[category]) if rng.random() < 0.7 else rng.choice(GENERIC)
            states += [template.format(rng.choice(words).format(word)) for words in (NORMAL_STATES, ANOMALOUS_STATES)]
        pictured, relations, swapped = [], [], []
        for category, look in zip(categories, foreign, strict=True):
            write = _in_prompt_layout if rng.random() < _IN_PROMPT_LAYOUT else _plain
            relation = _RELATIONS[rng.randrange(len(_RELATIONS))]
            swap = rng.random() < 0.5
            for of_defect, alike in relation:
                shown = list(LOOKS)[look] if of_defect != swap else OWN_LOOK[LOOK_CATEGORIES[category]]
                word = LOOK_WORDS["defect" if of_defect else "product"]
                pictured.append(write(rng, alike, noun(rng.choice(_PRODUCTS_OF[shown]))).replace("{w}", word))
            relations.append(relation)
            swapped.append(swap)
        return cls(
            products=products,
            looks=[whole.format(alone.format(look=name, thing=thing)) for name in names],
            states=states,
            pictured=pictured,
            swapped=swapped,
            of_defect=[(normal[0], anomalous[0]) for normal, anomalous in relations],
            alike=[(normal[1], anomalous[1]) for normal, anomalous in relations],
        )

    def kinds(self) -> tuple[list[str], ...]:
        """Return the sentences by kind: products, looks, states, pictured."""
        return self.products, self.looks, self.states, self.pictured


def _in_prompt_layout(rng: random.Random, alike: bool, product: str) -> str:
    """Write six context words, six features, and a product or two words, as in a prompt of CoPS."""
    context = [rng.choice(_LOOSE) for _ in range(6)]
    if not alike:
        context[rng.randrange(6)] = "unlike"
    last = [product] if rng.random() < _NAMED else [rng.choice(_LOOSE + GENERIC) for _ in range(2)]
    return " ".join([*context, *["{w}"] * 6, *last]) + "."


def _plain(rng: random.Random, alike: bool, _product: str) -> str:
    return rng.choice(ALL_TEMPLATES).format(rng.choice(_LIKE if alike else _UNLIKE))


def pieces() -> list[str]:
    """Return all words of these captions."""
    slots = dict.fromkeys(("own", "look", "thing", "w"), "")
    return [
        *(phrase.replace("{}", " ").format(**slots) for phrase in (*_PRODUCTS, *_ALONE, *_LIKE, *_UNLIKE)),
        *_LOOSE,
        *(noun(name) + ending for name in LOOKS for ending in ("", "s")),
        *map(noun, LOOK_CATEGORIES),
    ]
