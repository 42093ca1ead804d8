"""Names of the official CoPS checkpoint (28 tensors) and where each goes here."""

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
    # The test does not need the VAE encoder, so the official code leaves it out.
    optional=("vae.hidden.", "vae.mean.", "vae.log_variance."),
)


def check_official(settings: CoPSSettings, official: Mapping[str, Tensor], source: str) -> None:
    """Refuse to sample around an image's own code with a checkpoint that lacks the VAE encoder.

    Raises:
        InputError: naming the setting.
    """
    if settings.test_categories == "posterior" and "vae_encoder.mean.weight" not in official:
        raise InputError(f"{source} has no VAE encoder, so test_categories='posterior' is impossible; use 'prior'.")
