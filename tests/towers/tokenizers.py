"""Stand-ins for the tokenizers of Hugging Face's hub: the same frame of special tokens, with few words."""

from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from anomalib_cops.models.ada_clip.sentences import sentences
from anomalib_cops.models.vcp_clip.prompts import SENTENCES

TEXT = [
    *sentences("object"),
    *SENTENCES,
    "a damaged metal nut without flaw on the table, a photo of a cat",
    "the quick brown fox jumps over a lazy dog while five boxing wizards vex it",
    "Ein Käfer, 3 mm lang! crack scratch hole stain contamination on a bottle cable capsule hazelnut",
]
"""Sentences whose words become one token each, as the common words of real tokenizers are."""
SIZE = 800


class Frame(NamedTuple):
    """What a tokenizer writes around the words.

    Attributes:
        special: special tokens, in the order of their ids.
        first: token before the words; empty for none.
        last: token after the words.
        padding: token that fills the context.
    """

    special: tuple[str, ...]
    first: str
    last: str
    padding: str


BERT = Frame(("[PAD]", "[UNK]", "[CLS]", "[SEP]"), "[CLS]", "[SEP]", "[PAD]")
XLM = Frame(("<s>", "<pad>", "</s>", "<unk>"), "<s>", "</s>", "<pad>")
T5 = Frame(("<pad>", "</s>", "<unk>"), "", "</s>", "<pad>")
SIGLIP = Frame(("<unk>", "</s>"), "", "</s>", "</s>")


def frame_of(name: str) -> Frame:
    """Return the frame of the tokenizer that a configuration names."""
    if name.startswith("bert"):
        return BERT
    if "xlm" in name:
        return XLM
    # SigLIP's own vocabulary has no token for padding but its end token; SigLIP 2 has Gemma's, which is like T5's.
    return SIGLIP if "SigLIP" in name and "SigLIP2" not in name else T5


def save_tokenizer(text: dict[str, Any], folder: Path, size: int = SIZE) -> int:
    """Train the stand-in for a configuration's tokenizer, save it, and return the number of its tokens."""
    frame = frame_of(text["hf_tokenizer_name"])
    unknown = next(each for each in frame.special if "unk" in each.lower())
    tokenizer = Tokenizer(models.BPE(unk_token=unknown))
    if frame is BERT:
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=size, special_tokens=list(frame.special)))
    ids = [(each, tokenizer.token_to_id(each)) for each in {frame.first, frame.last} - {""}]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{frame.first} $A {frame.last}".strip(), special_tokens=ids
    )
    named = {"pad_token": frame.padding, "unk_token": unknown, "eos_token": frame.last}
    if frame is BERT:
        named = {"pad_token": frame.padding, "unk_token": unknown, "cls_token": frame.first, "sep_token": frame.last}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    return tokenizer.get_vocab_size()
