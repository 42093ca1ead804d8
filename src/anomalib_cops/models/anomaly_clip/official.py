"""Map the 32 tensor names of the official AnomalyCLIP checkpoint to ours."""

from collections.abc import Mapping

from torch import Tensor

from anomalib_cops.weights.official import KeyMap, Shapes

CONTEXT_LENGTH = 77
PROJECTION_WIDTH = 896


def unused(ours: Mapping[str, Tensor]) -> Shapes:
    """Return the shapes of official tensors that are not loaded.

    They are the frozen parts of the prompts, which are made anew from CLIP's vocabulary, and projections that the
    official forward never reads.
    """
    tokens, width = ours["context"].shape[1:]
    shapes: dict[str, tuple[int, ...]] = {}
    for state in ("pos", "neg"):
        shapes[f"token_prefix_{state}"] = (1, 1, 1, width)
        shapes[f"token_suffix_{state}"] = (1, 1, CONTEXT_LENGTH - 1 - tokens, width)
        shapes[f"tokenized_prompts_{state}"] = (1, 1, CONTEXT_LENGTH)
    for index in range(sum(name.startswith("deep.tokens.") for name in ours)):
        shapes[f"compound_prompt_projections.{index}.weight"] = (PROJECTION_WIDTH, width)
        shapes[f"compound_prompt_projections.{index}.bias"] = (PROJECTION_WIDTH,)
    return shapes


KEYS = KeyMap(
    entry="prompt_learner",
    stacked={"context": ("ctx_pos", "ctx_neg")},
    renamed={"deep.tokens.": "compound_prompts_text."},
    unused=unused,
)
