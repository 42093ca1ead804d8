"""Hybrid prompts: tokens in the blocks of a frozen tower, learned or made from the image (AdaCLIP, section 3.2)."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomalib_cops.encoder import image as vision
from anomalib_cops.encoder.blocks import Block
from anomalib_cops.encoder.text import BlockInputHook


class PromptGenerator(nn.Module):
    """Make dynamic prompts from the class feature of the unprompted image tower, with one linear layer per prompt.

    Args:
        dim: size of the joint space.
        width: size of a token in the tower that gets the prompts.
        length: number of prompts.
    """

    def __init__(self, dim: int, width: int, length: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(dim, width) for _ in range(length))

    def forward(self, cls: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch length width"]:
        """Return the prompts of each image, which are the same for all blocks."""
        return torch.stack([head(cls) for head in self.heads], dim=1)


class Prompts(nn.Module):
    """Prompts of consecutive blocks of one tower.

    Args:
        blocks: 0-based indices of the blocks that get prompts.
        length: prompts per block.
        width: size of a token in that tower.
        static: learn tokens for every block; otherwise all prompts are dynamic.
        half: round to float16 and back, forward and backward, as the official code does.
    """

    def __init__(self, blocks: range, length: int, width: int, *, static: bool = True, half: bool = True) -> None:
        super().__init__()
        learned = blocks if static else range(0)
        # Keys are block indices, so that parameter names say where a prompt goes and match the official ones.
        self.static = nn.ParameterDict({str(b): torch.empty(length, width).normal_(std=0.02) for b in learned})
        self.blocks = blocks
        self.length = length
        self.round_to_half = half

    def context(
        self,
        block: int,
        x: Float[Tensor, "prompts tokens width"],
        dynamic: Float[Tensor, "prompts length width"] | None,
    ) -> Float[Tensor, "prompts length width"]:
        """Return the prompts that enter a block: static ones, dynamic ones, or their sum.

        Args:
            block: index of the block, one of ``blocks``.
            x: input of the block, which determines the number of rows and the precision.
            dynamic: prompts made from the image.
        """
        tokens = dynamic
        if len(self.static):
            learned = self.static[str(block)].expand(x.shape[0], -1, -1)
            tokens = learned if dynamic is None else learned + dynamic
        assert tokens is not None, "neither static nor dynamic prompts"
        if self.round_to_half:
            # Round after the expansion, so that each row's gradient is rounded on its own, as in the official training.
            tokens = tokens.half()
        return tokens.to(x.dtype)

    def walk(self, dynamic: Float[Tensor, "batch length width"] | None) -> vision.Walk:
        """Return a function that runs the image tower with prompts after the patches.

        The prompts are replaced at every block of ``blocks``. After these blocks the last prompts stay in the sequence,
        so patches attend to them until the end.
        """

        def prompted(
            blocks: Iterable[Block],
            x: Float[Tensor, "batch tokens width"],
            local_blocks: range = range(0),
            cls_block: int | None = None,
        ) -> Iterator[vision.Paths]:
            end = x.shape[1]
            for index, block in enumerate(blocks):
                if index in self.blocks:
                    x = torch.cat([x[:, :end], self.context(index, x, dynamic)], dim=1)
                x, _ = next(vision.walk([block], x, cls_block=0 if index == cls_block else None))
                yield x, None

        return prompted

    def overwrite(self, dynamic: Float[Tensor, "prompts length width"] | None, start: int) -> BlockInputHook:
        """Return a hook for the text tower that overwrites the tokens after the start of text with prompts.

        It is applied at the input of every block. The overwritten words still have an effect through later tokens that
        attended to them in earlier blocks.

        Args:
            dynamic: prompts made from the image.
            start: number of tokens before the first word.
        """

        def place(x: Float[Tensor, "prompts tokens width"], block: int) -> Float[Tensor, "prompts tokens width"]:
            if block not in self.blocks:
                return x
            return torch.cat([x[:, :start], self.context(block, x, dynamic), x[:, start + self.length :]], dim=1)

        return place
