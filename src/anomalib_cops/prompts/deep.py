"""Deep prompts: learnable tokens that replace text tokens inside the frozen text tower."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class DeepPrompts(nn.Module):
    """Learnable tokens that overwrite fixed positions at the input of consecutive text blocks.

    Args:
        depth: number of blocks that receive tokens of their own.
        length: number of tokens per block.
        width: size of a token embedding.
        first_block: index of the first block that receives tokens.
        position: index of the first token that is overwritten; that of the first word by default in a CLIP.
        half: round the tokens to float16 and back, forward and backward, as the official implementations do.
    """

    def __init__(
        self, depth: int, length: int, width: int, *, first_block: int = 1, position: int = 1, half: bool = True
    ) -> None:
        super().__init__()
        self.tokens = nn.ParameterList(torch.empty(length, width).normal_(std=0.02) for _ in range(depth))
        self.first_block = first_block
        self.position = position
        self.round_to_half = half

    def forward(self, x: Float[Tensor, "prompts tokens width"], block: int) -> Float[Tensor, "prompts tokens width"]:
        """Return the tokens that enter a block: overwritten if the block has tokens of its own, else unchanged.

        Args:
            x: tokens at the block's input.
            block: index of the block.
        """
        index = block - self.first_block
        if not 0 <= index < len(self.tokens):
            return x
        tokens = self.tokens[index].expand(x.shape[0], -1, -1)
        if self.round_to_half:
            # After the expansion, so that each prompt's gradient is rounded on its own, as it was in training.
            tokens = tokens.half()
        end = self.position + tokens.shape[1]
        return torch.cat([x[:, : self.position], tokens.to(x.dtype), x[:, end:]], dim=1)
