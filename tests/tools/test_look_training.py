"""The part of the stand-ins' training that shows pictures of looks."""

import random

import pytest
import torch
from torch.nn import functional as F

from anomalib_cops.data.synthetic import LOOK_CATEGORIES
from anomalib_cops.data.synthetic.confusable import OWN_LOOK
from anomalib_cops.data.synthetic.looks import LOOKS
from anomalib_cops.encoder import ImageFeatures, tiny
from anomalib_cops.prompts.wording import noun
from tools.tiny_clip.captions import LOOK_WORDS, tokenize
from tools.tiny_clip.handwritten import Pictures
from tools.tiny_clip.learned import Seen, odd_one_out
from tools.tiny_clip.look_captions import LookCaptions
from tools.tiny_clip.look_objective import LookWeights, look_losses
from tools.tiny_clip.look_probes import LookProbes, Places
from tools.tiny_clip.objective import Trainee
from tools.tiny_clip.pool import Pool, augment
from tools.tiny_clip.recipe import RECIPES, Recipe
from tools.tiny_clip.vocabulary import vocabulary


@pytest.fixture
def captions() -> LookCaptions:
    return LookCaptions.random(random.Random(0), [0, 3] * 200, [2, 5] * 200)


def test_sentences_name_the_features_and_the_relation_that_they_are_said_to_have(captions: LookCaptions) -> None:
    for row, (of_defect, alike) in enumerate(zip(captions.of_defect, captions.alike, strict=True)):
        for side in (0, 1):
            sentence = captions.pictured[2 * row + side]
            shown, other = (LOOK_WORDS[name] for name in (("defect", "product") if of_defect[side] else LOOK_WORDS))
            assert shown in sentence and other not in sentence
            assert ("unlike" in sentence) != alike[side]


def test_a_product_at_the_end_of_a_sentence_has_the_look_of_its_features(captions: LookCaptions) -> None:
    found = 0
    for row, of_defect in enumerate(captions.of_defect):
        for side in (0, 1):
            last = captions.pictured[2 * row + side].rstrip(".")
            products = [name for name in LOOK_CATEGORIES if last.endswith(" " + noun(name))]
            found += len(products)
            foreign, own = list(LOOKS)[(2, 5)[row % 2]], OWN_LOOK[LOOK_CATEGORIES[(0, 3)[row % 2]]]
            shown = foreign if of_defect[side] != captions.swapped[row] else own
            assert all(OWN_LOOK[name] == shown for name in products)
    assert found > 100
    assert 0.4 < sum(captions.swapped) / len(captions.swapped) < 0.6, "a sentence may come to mean 'odd'"


def test_captions_use_words_that_have_rows(captions: LookCaptions) -> None:
    known, replaced = set(vocabulary().tolist()), {int(tokenize([word])[0, 1]) for word in LOOK_WORDS.values()}
    used = {token for kind in captions.kinds() for row in tokenize(kind).tolist() for token in row} - {0}
    assert used - known <= replaced


def features_with(direction: torch.Tensor | None) -> tuple[torch.Tensor, dict[str, torch.Tensor], Places]:
    """Features of eight looks, 64 pictures with 9 patches, a third of them foreign, which ``direction`` tells apart."""
    torch.manual_seed(0)
    codes = torch.randn(8, 24)
    look, foreign = torch.randint(8, (64, 9)), (torch.rand(64, 9) < 0.3).float()
    patches = codes[look] + 0.1 * torch.randn(64, 9, 24)
    pictures = torch.randn(2, 64, 24)
    if direction is not None:
        patches = patches + foreign[..., None] * direction
        pictures[:, 1::2] += direction
    places = Places(look, foreign, 1 - foreign)
    return (
        F.normalize(pictures, dim=-1),
        dict.fromkeys(("local", "ordinary", "middle"), F.normalize(patches, dim=-1)),
        places,
    )


def test_probes_see_a_direction_that_means_foreign_and_nothing_else() -> None:
    seen = {}
    for name, direction in (("none", None), ("one", 2 * torch.ones(24))):
        pictures, patches, places = features_with(direction)
        torch.manual_seed(0)
        probes = LookProbes(24)
        for _ in range(40):
            probes.fit(pictures, patches, places)
        seen[name] = [float(gap) for gap in probes.gaps(pictures, patches, places)]
    assert all(one > 3 * none + 1 for one, none in zip(seen["one"], seen["none"], strict=True)), seen


def test_gaps_train_the_features_and_not_the_probes() -> None:
    pictures, patches, places = features_with(torch.ones(24))
    probes, local = LookProbes(24), patches["local"].requires_grad_()
    probes.fit(pictures, patches | {"local": local}, places)
    before = [parameter.clone() for parameter in probes.parameters()]
    for parameter in probes.parameters():
        parameter.grad = None
    probes.gaps(pictures, patches | {"local": local}, places)[0].backward()
    assert local.grad is not None and local.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in probes.parameters())
    assert all(map(torch.equal, before, probes.parameters()))


def test_every_loss_of_looks_has_a_weight_and_a_gradient() -> None:
    torch.manual_seed(0)
    config = tiny.load_tiny_config()
    trainee = Trainee(config)
    trainee.start_from(tiny.load_tiny_state()[1])
    pool = Pool.draw(16, seed=1, size=120, grid=10, workers=1, levels=("easy",), names=LOOK_CATEGORIES)
    images, coverage = augment(pool.images, pool.coverage, torch.Generator().manual_seed(0))
    captions = LookCaptions.random(random.Random(0), pool.categories.tolist(), pool.defects.tolist())
    terms = look_losses(
        trainee, LookProbes(config["embed_dim"]), images, coverage, pool.categories, pool.defects, captions
    )
    assert set(terms) == set(LookWeights.__dataclass_fields__)
    assert {f"look_{name}" for name in terms} <= set(Recipe().weight_of_term)
    towers = [trainee.clip.visual.proj, trainee.clip.text_projection]
    for name, term in terms.items():
        gradients = torch.autograd.grad(term, towers, retain_graph=True, allow_unused=True)
        assert torch.isfinite(term) and any(each is not None and each.abs().sum() > 0 for each in gradients), name


def test_the_odd_patch_is_found_without_words() -> None:
    patches = torch.randn(1, 4, 1, 8).expand(1, 4, 9, 8).clone()
    patches[0, 2:, 4] = -patches[0, 2:, 4]
    masks = torch.zeros(4, 6, 6, dtype=torch.bool)
    shown = Pictures(torch.zeros(4, 6, 6, 3, dtype=torch.uint8), masks, torch.zeros(4).bool(), torch.zeros(4).long())
    found = odd_one_out(Seen(shown, ImageFeatures(torch.zeros(4, 8), patches)), torch.arange(4))
    assert found.pred_score is not None and found.anomaly_map is not None
    torch.testing.assert_close(found.pred_score, torch.tensor([0.0, 0.0, 1.0, 1.0]), atol=1e-6, rtol=0)
    assert found.anomaly_map.shape == (4, 6, 6) and found.anomaly_map[2].argmax() in (14, 15, 20, 21)


def test_each_stand_in_has_a_recipe() -> None:
    assert RECIPES["damage"].look_pairs == 0 < RECIPES["looks"].look_pairs
    assert len(RECIPES) == len(tiny.STAND_INS)
