"""What the torch model of a method offers to training, caching, exports and the benchmark."""

from typing import Any, Protocol

from anomalib.data import InferenceBatch
from jaxtyping import Float
from torch import Tensor

from anomalib_cops.encoder import FrozenCLIP


class TorchModel(Protocol):
    """A frozen encoder and what a method trains on top of it; an ``nn.Module``.

    Attributes:
        clip: the frozen encoder, a sub-module of this name.
        settings: the method's settings dataclass.
        frozen_features: type of what :meth:`encode` returns, where it depends on image and frozen encoder alone, so
            that training may keep it on disk; None where prompts enter the image tower.
        taps: what decides these features besides image and encoder, such as the layers read.
        loss_terms: names of the terms that :meth:`loss` adds up.
    """

    @property
    def clip(self) -> FrozenCLIP: ...  # noqa: D102 (the class says it)

    @property
    def settings(self) -> Any: ...  # noqa: D102

    @property
    def frozen_features(self) -> type | None: ...  # noqa: D102

    @property
    def taps(self) -> tuple[Any, ...]: ...  # noqa: D102

    @property
    def loss_terms(self) -> tuple[str, ...]: ...  # noqa: D102

    def encode(self, *images: Any, **extra: Any) -> Any:
        """Compute the features of images (batch 3 height width), normalised as CLIP expects them."""

    def forward(self, *images: Any, **extra: Any) -> InferenceBatch:
        """Return ``pred_score`` (batch) and ``anomaly_map`` (batch height width), both in [0, 1].

        Args:
            images: (batch 3 height width), at the encoder's size, normalised.
            extra: ``features`` where they are cached; what the method needs besides images, such as class names.
        """

    def loss(self, *labelled: Any, **extra: Any) -> dict[str, Float[Tensor, ""]]:
        """Return every term of the loss by name, and their weighted sum as "loss".

        Args:
            labelled: images as for :meth:`forward`; masks (batch height width), 1 where anomalous; labels (batch).
            extra: as for :meth:`forward`.
        """
