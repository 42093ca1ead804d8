"""The tokenizer of a text tower: sentences → token ids, and where in them the words are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import open_clip
import torch
from huggingface_hub import constants as hub
from huggingface_hub import try_to_load_from_cache
from jaxtyping import Int
from torch import Tensor

from anomalib_cops.encoder.download import hub_problem
from anomalib_cops.errors import InputError

TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json", "spiece.model")
"""File names of which Hugging Face's tokenizers have at least one."""


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer of open_clip at the context length of a text tower.

    Tokenizers differ in what they write around the words: CLIP's begin with a start token and end with an end-of-text
    token, SigLIP's have no start token, CLIPA's have no end token. All fill the rest of the context with padding.

    Attributes:
        encode: open_clip's tokenizer, called with sentences and a context length.
        context_length: largest number of tokens in a prompt.
        backbone: name of the backbone, for messages.
    """

    encode: Callable[[list[str], int], Tensor] = open_clip.tokenize
    context_length: int = 77
    backbone: str = "custom"

    def __call__(self, sentences: Sequence[str]) -> Int[Tensor, "sentences tokens"]:
        """Return token ids, padded to the context length.

        Raises:
            InputError: a sentence is too long for the text tower.
        """
        ids = self.encode(list(sentences), self.context_length)
        # Where a sentence is cut off, one more place changes more than the padding.
        longer = self.encode(list(sentences), self.context_length + 1)
        for sentence, whole in zip(sentences, (ids == longer[:, :-1]).all(dim=1).tolist(), strict=True):
            if not whole:
                raise InputError(
                    f"'{sentence[:40]}…' has more than the {self.context_length} tokens that the text encoder of "
                    f"'{self.backbone}' can read; use a shorter name for the product."
                )
        # A copy, as DistributedDataParallel cannot broadcast a view of another tensor.
        return ids.clone(memory_format=torch.contiguous_format)

    @property
    def is_clips(self) -> bool:
        """Whether the words are CLIP's own, which all families share that name no other tokenizer."""
        return self.encode is open_clip.tokenize or isinstance(self.encode, open_clip.SimpleTokenizer)

    @cached_property
    def start(self) -> int:
        """Number of tokens before the first word."""
        empty, word = self.encode(["", "a"], self.context_length)
        return int((empty != word).nonzero()[0])

    def ends(self, token_ids: Int[Tensor, "sentences tokens"]) -> list[int]:
        """Return the position of the first token after the words of every sentence: its end-of-text token or padding.

        What follows the words is what follows no words at all.
        """
        closing = self.encode([""], self.context_length)[0, self.start :]
        ends = torch.full(token_ids.shape[:1], self.context_length - 1)
        for position in reversed(range(self.start, self.context_length)):
            rest = token_ids[:, position:].cpu()
            ends[(rest == closing[: rest.shape[1]]).all(dim=1)] = position
        return ends.tolist()


def load_tokenizer(
    text: dict[str, Any], backbone: str, folder: Path | None = None, cache_dir: str | None = None
) -> Tokenizer:
    """Load the tokenizer of a backbone.

    Args:
        text: ``text_cfg`` of its configuration. A tokenizer that it names is one of Hugging Face's.
        backbone: name of the backbone, for messages.
        folder: folder of the weight file. A tokenizer that is saved beside it is taken from there, else from the hub.
        cache_dir: folder of the hub's cache; the usual one if not given.

    Raises:
        InputError: the package ``transformers`` is missing, or the tokenizer cannot be read or downloaded.
    """
    length, options = text.get("context_length", 77), dict(text.get("tokenizer_kwargs") or {})
    name = text.get("hf_tokenizer_name")
    if not name:
        encode = open_clip.SimpleTokenizer(context_length=length, **options) if options else open_clip.tokenize
        return Tokenizer(encode, length, backbone)
    if find_spec("transformers") is None:
        raise InputError(
            f"The tokenizer of backbone '{backbone}' needs the package transformers; install it with "
            "pip install 'anomalib-cops[towers]'."
        )
    if text.get("tokenizer_mode"):
        options["tokenizer_mode"] = text["tokenizer_mode"]
    beside = folder if folder is not None and any((folder / each).is_file() for each in TOKENIZER_FILES) else None
    found = beside or _cached(name, cache_dir)
    if found is None and (problem := hub_problem()):
        raise InputError(
            f"The tokenizer '{name}' of backbone '{backbone}' is not in the cache folder "
            f"{cache_dir or hub.HF_HUB_CACHE} and {problem}: connect once, or put its files (tokenizer.json or "
            "spiece.model, tokenizer_config.json) beside a local weight file."
        )
    source = str(found or name)
    try:
        # Early releases of open_clip lack the argument.
        where = {"cache_dir": cache_dir} if cache_dir else {}
        encode = open_clip.tokenizer.HFTokenizer(source, context_length=length, **where, **options)
        encode(["a"], length)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"The tokenizer of backbone '{backbone}' in {source} cannot be used with open_clip "
            f"{version('open_clip_torch')} and transformers {version('transformers')} ({reason}); get its files again, "
            "or install what it needs with pip install --upgrade 'anomalib-cops[towers]' open_clip_torch."
        ) from None
    return Tokenizer(encode, length, backbone)


def _cached(repository: str, cache_dir: str | None) -> Path | None:
    """Return the folder of the hub's cache that holds a tokenizer, so that nothing is asked of the hub."""
    for file in TOKENIZER_FILES:
        path = try_to_load_from_cache(repository, file, cache_dir=cache_dir)
        if isinstance(path, str):
            return Path(path).parent
    return None
