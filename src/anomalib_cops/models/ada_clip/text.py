"""Compute AdaCLIP's text features of class names, from fixed sentences and with learned prompts in the text tower."""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from anomalib_cops.encoder import FrozenCLIP
from anomalib_cops.errors import InputError
from anomalib_cops.models.ada_clip.prompters import Prompts
from anomalib_cops.models.ada_clip.sentences import Tokens, ensemble, tokenize
from anomalib_cops.models.cached_text import CachedText
from anomalib_cops.tracing import tracing


class ClassNameText:
    """Compute and cache text features of class names.

    This is not a module: encoder and prompts are parameters of the model that owns it.

    Args:
        clip: the frozen encoder.
        prompts: prompts of the text tower; None if it gets none.
    """

    def __init__(self, clip: FrozenCLIP, prompts: Prompts | None) -> None:
        self.clip = clip
        self.prompts = prompts
        self._cached: dict[str, CachedText] = {}
        self._tokens: dict[str, Tokens] = {}

    def features(
        self, class_names: Sequence[str], dynamic: Float[Tensor, "batch length width"] | None
    ) -> Float[Tensor, "rows states dim"]:
        """Return the unit text feature of each state: one row per class name, or one per image with dynamic prompts.

        Without dynamic prompts, the features of a name are computed once, and again when static prompts have changed.

        Args:
            class_names: one name for all images, or one per image.
            dynamic: prompts of the text tower that were made from the images; None without them.
        """
        if dynamic is not None:
            return ensemble(self.sentence_features(class_names, dynamic))
        different = list(dict.fromkeys(class_names))
        if tracing() or (torch.is_grad_enabled() and self._static_prompts()):
            features = ensemble(self.sentence_features(different, None))
        else:
            features = torch.stack([self._text_of(name) for name in different])
        return features[[different.index(name) for name in class_names]]

    def _static_prompts(self) -> list[Tensor]:
        """Return the trained tensors that the text features depend on, apart from dynamic prompts."""
        return [] if self.prompts is None else list(self.prompts.parameters())

    def _text_of(self, class_name: str) -> Float[Tensor, "states dim"]:
        """Return the text features of a class name, computed once per set of weights."""
        if class_name not in self._cached:
            self._cached[class_name] = CachedText(
                partial(self._encode_class, class_name), self._static_prompts, self.clip.text_parameters
            )
        return self._cached[class_name]()

    def _encode_class(self, class_name: str) -> Float[Tensor, "states dim"]:
        return ensemble(self.sentence_features([class_name], None))[0]

    def sentence_features(
        self, class_names: Sequence[str], dynamic: Float[Tensor, "batch length width"] | None
    ) -> Float[Tensor, "rows sentences dim"]:
        """Return the text feature of every sentence, not normalised; arguments as in :meth:`features`."""
        tokens = [self.tokens(name) for name in class_names]
        length = self.clip.text.needed(max(max(each.read_outs) for each in tokens))
        device = self.clip.device
        ids = torch.cat([each.ids[:, :length] for each in tokens]).to(device)
        embeddings = self.clip.text.embed(ids).unflatten(0, (len(tokens), -1))
        ends = torch.tensor([each.read_outs for each in tokens], device=device)
        if self.prompts is not None and self.prompts.blocks and self.clip.text.causal and not torch.is_grad_enabled():
            return self._features_after_prompts(self.prompts, embeddings, ends, dynamic)
        rows, count = embeddings.shape[:2]
        if dynamic is not None:
            rows = dynamic.shape[0]
            dynamic = dynamic.repeat_interleave(count, dim=0)
        deep = None if self.prompts is None else self.prompts.overwrite(dynamic, self.clip.text.start)
        features = self.clip.text.encode(
            embeddings.expand(rows, -1, -1, -1).flatten(0, 1), ends.expand(rows, -1).flatten(), deep
        )
        return features.unflatten(0, (-1, count))

    def _features_after_prompts(
        self,
        prompts: Prompts,
        embeddings: Float[Tensor, "names sentences tokens width"],
        ends: Int[Tensor, "names sentences"],
        dynamic: Float[Tensor, "batch length width"] | None,
    ) -> Float[Tensor, "rows sentences dim"]:
        """Compute sentence features of a causal tower in inference with as little work as possible.

        No prompt enters the first block, so it runs once per name. After it, the start token and the prompts, which
        overwrite the words behind it, are the same in all sentences of an image. As a token depends only on earlier
        ones, they run once per image, and only the remaining words run once per sentence.
        """
        rows = embeddings.shape[0] if dynamic is None else dynamic.shape[0]
        tokens = self.clip.text.run_first_block(embeddings.flatten(0, 1)).unflatten(0, embeddings.shape[:2])
        shared = self.clip.text.start + prompts.length
        start = tokens[0, :1, :shared].expand(rows, -1, -1)
        prefix = self.clip.text.cache_prefix(start, prompts.overwrite(dynamic, self.clip.text.start), first_block=1)
        words = tokens[:, :, shared:].expand(rows, -1, -1, -1).flatten(0, 1)
        last = (ends - shared).expand(rows, -1).flatten()
        return self.clip.text.encode(words, last, prefix=prefix, first_block=1).unflatten(0, (rows, -1))

    def tokens(self, class_name: str) -> Tokens:
        """Return the tokenised sentences about a class, computed once per name.

        Raises:
            InputError: prompts would overwrite the end of a sentence, or the sentence is too long.
        """
        if class_name not in self._tokens:
            tokens = tokenize(self.clip, class_name)
            room = min(tokens.ends) - self.clip.text.start
            if self.prompts is not None and self.prompts.blocks and room < self.prompts.length:
                raise InputError(
                    f"AdaCLIP: length={self.prompts.length} prompts overwrite the end of a sentence about "
                    f"'{class_name}'; use at most {room}."
                )
            self._tokens[class_name] = tokens
        return self._tokens[class_name]
