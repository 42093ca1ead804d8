"""Knowing when a result that depends on weights alone has to be computed again."""

from collections.abc import Iterable

from torch import Tensor


class WeightsMark:
    """Notices that weights were trained, loaded or moved since it was last asked."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, int, int]] | None = None

    def changed(self, weights: Iterable[Tensor]) -> bool:
        """Whether any of the weights is another tensor, or was written to, since the last call.

        Weights that were made in inference mode do not count what is written to them, so they have always changed.
        """
        weights = list(weights)
        if any(weight.is_inference() for weight in weights):
            return True
        now = [(id(weight), weight.data_ptr(), weight._version) for weight in weights]
        changed, self._seen = now != self._seen, now
        return changed
