"""Hybrid prompts: tokens inside a frozen tower's blocks, learned or made from the image (AdaCLIP, section 3.2)."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anomalib_cops.encoder import image as vision
from anomalib_cops.encoder.blocks import OpenClipModule
from anomalib_cops.encoder.text import BlockInputHook


class PromptGenerator(nn.Module):
    """Dynamic prompts: one linear layer per prompt, on the class feature of the unprompted image tower.

    Args:
        dim: size of the joint space.
        width: size of a token in the tower that gets the prompts.
        length: number of prompts.
    """

    def __init__(self, dim: int, width: int, length: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(dim, width) for _ in range(length))

    def forward(self, cls: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch length width"]:
        """Prompts of each image; the same at all depths."""
        return torch.stack([head(cls) for head in self.heads], dim=1)


class Prompts(nn.Module):
    """Prompts of one tower, for consecutive blocks.

    Args:
        blocks: 0-based indices of the blocks that get prompts.
        length: prompts per block.
        width: size of a token in that tower.
        static: learn tokens for every block; without, all prompts are dynamic ones.
        half: round to float16 and back, forward and backward, as the official code does.
    """

    def __init__(self, blocks: range, length: int, width: int, *, static: bool = True, half: bool = True) -> None:
        super().__init__()
        learned = blocks if static else range(0)
        # Named after their blocks, so that names say where a prompt goes, and agree with the official ones.
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
        """Prompts that enter a block: static, dynamic, or the sum.

        Args:
            block: one of ``blocks``.
            x: what they are put into; for the number of rows and the precision.
            dynamic: prompts made from the image.
        """
        tokens = dynamic
        if len(self.static):
            learned = self.static[str(block)].expand(x.shape[0], -1, -1)
            tokens = learned if dynamic is None else learned + dynamic
        assert tokens is not None, "neither static nor dynamic prompts"
        if self.round_to_half:
            # After the expansion, so that each row's gradient is rounded on its own, as it was in training.
            tokens = tokens.half()
        return tokens.to(x.dtype)

    def walk(self, dynamic: Float[Tensor, "batch length width"] | None) -> vision.Walk:
        """A way through the image tower with prompts after the patches, renewed at every block of ``blocks``.

        After these blocks the last prompts stay in the sequence: patches attend to them until the end.
        """

        def prompted(
            blocks: Iterable[OpenClipModule],
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

    def overwrite(self, dynamic: Float[Tensor, "prompts length width"] | None) -> BlockInputHook:
        """What the text tower does at every block's input: prompts overwrite the tokens after the start of text.

        The words that stood there survive in what the blocks before have mixed into later tokens.
        """

        def place(x: Float[Tensor, "prompts tokens width"], block: int) -> Float[Tensor, "prompts tokens width"]:
            if block not in self.blocks:
                return x
            return torch.cat([x[:, :1], self.context(block, x, dynamic), x[:, 1 + self.length :]], dim=1)

        return place
