"""Declare the interface of a method's torch model, which training, caching, exports and the benchmark use."""

from typing import Any, Protocol

from anomalib.data import InferenceBatch
from jaxtyping import Float
from torch import Tensor

from anomalib_cops.encoder import FrozenCLIP


class TorchModel(Protocol):
    """An ``nn.Module`` that holds a frozen encoder and the parameters that a method trains on top of it.

    Attributes:
        clip: the frozen encoder, a sub-module of this name.
        settings: an instance of the method's settings dataclass.
        frozen_features: type of the result of :meth:`encode` if it depends only on the image and the frozen encoder,
            so that training may cache it on disk; None if prompts enter the image tower.
        taps: values besides image and encoder that these features depend on, such as the tapped layers.
        loss_terms: names of the terms that :meth:`loss` adds up.
        pixel_terms: those of them that compare pixels with masks, and that a batch without masks does not have.
    """

    @property
    def clip(self) -> FrozenCLIP: ...  # noqa: D102 (see the class)

    @property
    def settings(self) -> Any: ...  # noqa: D102

    @property
    def frozen_features(self) -> type | None: ...  # noqa: D102

    @property
    def taps(self) -> tuple[Any, ...]: ...  # noqa: D102

    @property
    def loss_terms(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def pixel_terms(self) -> tuple[str, ...]: ...  # noqa: D102

    def encode(self, *images: Any, **extra: Any) -> Any:
        """Compute the features of images (batch 3 height width), normalised as CLIP expects them."""

    def forward(self, *images: Any, **extra: Any) -> InferenceBatch:
        """Return ``pred_score`` (batch) and ``anomaly_map`` (batch height width), both in [0, 1].

        Args:
            images: (batch 3 height width), at the encoder's size, normalised.
            extra: ``features`` if they are cached, and further input of the method, such as class names.
        """

    def loss(self, *labelled: Any, **extra: Any) -> dict[str, Float[Tensor, ""]]:
        """Return every term of the loss by name, and their weighted sum as "loss".

        Args:
            labelled: images as for :meth:`forward`; masks (batch height width), 1 where anomalous; labels (batch).
            extra: as for :meth:`forward`; and ``masked`` (batch) of bool, whether the mask of each image is known, if
                any is not.
        """
