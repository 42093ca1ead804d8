"""Count what the local path adds to the image tower of every family, beside open_clip's own ``encode_image``."""

from collections.abc import Sequence

from .weightless import encoder_of, gflop_of_both_paths, gflop_of_encode_image, model_of


def measure_towers(backbones: Sequence[str]) -> dict[str, dict[str, float]]:
    """Count the operations of one image, in GFLOP: of ``encode_image``, and of both paths.

    Nothing is computed, so towers of any size take seconds and no weights.
    """
    counted = {}
    for name in backbones:
        clip = encoder_of(name, model_of(name))
        # The second changes the model.
        both = gflop_of_both_paths(clip)
        counted[name] = {"both_paths_gflop": both, "encode_image_gflop": gflop_of_encode_image(clip)}
    return counted
