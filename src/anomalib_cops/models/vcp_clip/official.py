"""Map the tensor names of the official VCP-CLIP checkpoint (28 with four layers) to ours."""

from collections.abc import Mapping

from torch import Tensor

from anomalib_cops.weights.official import KeyMap, Shapes

CONV = "New_Lan_Embed.prompt_linear1.fc."


def unused(ours: Mapping[str, Tensor]) -> Shapes:
    """Return the shapes of tensors that the official code saves but its forward never reads."""
    tokens, width = ours["pre.query"].shape
    idle: dict[str, tuple[int, ...]] = {"prompt_text_projection": (width, width)}
    if "pre.conv.weight" not in ours:  # use_global=False
        idle |= {f"{CONV}weight": (tokens, 1, 3), f"{CONV}bias": (tokens,)}
    return idle


KEYS = KeyMap(
    renamed={
        "pre.query": "New_Lan_Embed.prompt_query",
        "pre.conv.": CONV,
        "pre.log_scale": "New_Lan_Embed.prompt_temp",
        "pre.project.": "trainable_linearlayer.fc.",
        "post.query.": "Zero_try.q_proj_pre.",
        "post.key.": "Zero_try.k_proj_pre_1.",
        "post.value.": "Zero_try.v_proj_pre_1.",
        "post.out.": "Zero_try.proj_post_t.",
        "post.log_scale": "Zero_try.prompt_temp_l1",
        "deep.first": "prompt_embeddings",
        "deep.later": "deep_prompt_embeddings",
        "deep.project.": "prompt_proj.",
        "deep.norm.": "prompt_norm.",
    },
    unused=unused,
)
