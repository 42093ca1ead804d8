"""Map the tensor names of the official AdaCLIP checkpoint (38 at its default sizes) to ours."""

from collections.abc import Mapping

from torch import Tensor

from anomalib_cops.weights.official import KeyMap, Shapes

FIRST_TEXT_PROMPT = "clip_model.text_prompter.static_prompts.0"


def _first_text_prompt(ours: Mapping[str, Tensor]) -> Shapes:
    """Return the shape of the first text block's static prompt, which is saved but never used or trained."""
    static = [tuple(value.shape) for name, value in ours.items() if name.startswith("text_prompts.static.")]
    return {FIRST_TEXT_PROMPT: static[0]} if static else {}


KEYS = KeyMap(
    renamed={
        "vision_prompts.static.": "clip_model.visual_prompter.static_prompts.",
        "text_prompts.static.": "clip_model.text_prompter.static_prompts.",
        "vision_generator.heads.": "clip_model.dynamic_visual_prompt_generator.head.",
        "text_generator.heads.": "clip_model.dynamic_text_prompt_generator.head.",
        "patch_heads.": "clip_model.patch_token_layer.head.",
        "cls_head.": "clip_model.cls_token_layer.head.0.",
    },
    unused=_first_text_prompt,
)
