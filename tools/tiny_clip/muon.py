"""Muon: steps of equal size in all directions of a weight matrix, which needs half the pictures that AdamW needs here.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tools.tiny_clip.objective import Trainee

_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def optimizers(trainee: Trainee, *, hidden_rate: float, rate: float, decay: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the image tower's blocks, AdamW for everything else that is trained.

    The text tower has four times as many weights and learns fast enough: Muon's products would take longer than its
    forward and backward pass.
    """
    hidden = [p for p in trainee.clip.visual.transformer.parameters() if p.ndim == 2]
    known = {id(p) for p in hidden}
    others = [p for p in trainee.parameters() if p.requires_grad and id(p) not in known]
    decayed = [p for p in others if p.ndim >= 2 and p is not trainee.rows]
    kept = [p for p in others if p.ndim < 2 or p is trainee.rows]
    groups = [{"params": decayed, "weight_decay": decay}, {"params": kept, "weight_decay": 0.0}]
    return [Muon(hidden, hidden_rate, decay=decay), torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))]


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose matrices are replaced by the nearest semi-orthogonal ones.

    Args:
        parameters: Weight matrices of hidden layers; every other parameter wants another optimizer.
        lr: Learning rate: spectral norm of a step for matrices that are not taller than wide.
        momentum: Decay of the averaged gradient.
        decay: Weight decay, decoupled.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, decay: float = 0.0):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Moves all parameters that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                average = self.state[parameter].setdefault("average", torch.zeros_like(parameter))
                average.lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(average, group["momentum"])
                parameter.mul_(1 - group["lr"] * group["decay"])
                parameter.sub_(group["lr"] * _step(ahead))


def _step(gradient: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    rows, columns = gradient.shape
    # Queries, keys and values lie in one matrix, but are three.
    parts = gradient.chunk(3) if rows == 3 * columns else (gradient,)
    return torch.cat([orthogonal(part) * max(1.0, part.shape[0] / columns) ** 0.5 for part in parts])


def orthogonal(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """A matrix with the same singular vectors, and singular values of about 1 (0.7 to 1.2), by Newton-Schulz steps."""
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)
