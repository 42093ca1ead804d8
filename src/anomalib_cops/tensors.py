"""Check named tensors of files, and notice that tensors have changed."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from anomalib_cops.errors import InputError


def check_finite(tensors: Mapping[str, Tensor], source: str, advice: str = "get another file.") -> None:
    """Refuse NaN and infinite values.

    Args:
        tensors: tensors by name.
        source: where they come from, for the message.
        advice: end of the message: what to do.

    Raises:
        InputError: a tensor holds such a value; the message names the first one.
    """
    for name, tensor in tensors.items():
        # Minimum and maximum are NaN if any value is, and need no copy of the tensor.
        if tensor.numel() and not all(extreme.isfinite() for extreme in tensor.aminmax()):
            raise InputError(f"{source} holds NaN or infinite values in {name}; {advice}")


def check_fits(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> None:
    """Require exactly the expected names and shapes.

    Args:
        tensors: tensors by name.
        expected: tensors with the required names and shapes.
        source: where ``tensors`` come from, for the message.

    Raises:
        InputError: a tensor is missing, unknown or of another shape; the message lists the first ones.
    """
    fitting = {name for name in expected if name in tensors and tensors[name].shape == expected[name].shape}
    wrong = sorted({*expected, *tensors} - fitting)
    if wrong:
        shown = ", ".join(wrong[:4]) + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else "")
        raise InputError(f"{source} does not fit this model: {shown} missing, unknown or of another shape.")


def marks_of(tensors: Iterable[Tensor]) -> list[tuple[int, int]]:
    """Return address and version of each tensor, by which a change is noticed without comparing values."""
    # Tensors made in inference mode have no version.
    return [(each.data_ptr(), 0 if each.is_inference() else each._version) for each in tensors]
