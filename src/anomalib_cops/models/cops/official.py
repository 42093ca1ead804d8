"""Map the 28 tensor names of the official CoPS checkpoint to ours."""

from collections.abc import Mapping

from torch import Tensor

from anomalib_cops.errors import InputError
from anomalib_cops.models.cops.settings import CoPSSettings
from anomalib_cops.weights.official import KeyMap

KEYS = KeyMap(
    entry="prompt_learner",
    stacked={"context": ("ctx_pos", "ctx_neg"), "prototypes.queries": ("t_n", "t_a")},
    renamed={
        "prototypes.": "extractor.",
        "vae.decoder.hidden.": "vae_decoder.net.0.",
        "vae.decoder.out.": "vae_decoder.net.2.",
        "vae.hidden.": "vae_encoder.net.0.",
        "vae.mean.": "vae_encoder.mean.",
        "vae.log_variance.": "vae_encoder.log_var.",
        "deep.tokens.": "compound_prompts_text.",
    },
    # The official code does not save the VAE encoder, as its test does not need it.
    optional=("vae.hidden.", "vae.mean.", "vae.log_variance."),
)


def check_official(settings: CoPSSettings, official: Mapping[str, Tensor], source: str) -> None:
    """Refuse to sample from an image's posterior with a checkpoint that lacks the VAE encoder.

    Raises:
        InputError: ``test_categories`` is "posterior" and the encoder is missing.
    """
    if settings.test_categories == "posterior" and "vae_encoder.mean.weight" not in official:
        raise InputError(f"{source} has no VAE encoder, so test_categories='posterior' is impossible; use 'prior'.")
