"""Check named tensors that were read from a file or are about to be written to one."""

from collections.abc import Mapping

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
