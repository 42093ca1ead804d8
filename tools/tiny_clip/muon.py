"""Muon: an optimiser whose steps have the same size in all directions of a weight matrix.

It needs half as many pictures here as AdamW.

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
    """Return Muon for the matrices inside the image tower's blocks, and AdamW for everything else that is trained.

    The text tower has four times as many weights and learns fast enough. Muon's products for it would take longer than
    its forward and backward pass.

    Args:
        trainee: the model.
        hidden_rate: learning rate of Muon.
        rate: learning rate of AdamW.
        decay: weight decay of both.
    """
    hidden = [p for p in trainee.clip.visual.transformer.parameters() if p.ndim == 2]
    known = {id(p) for p in hidden}
    others = [p for p in trainee.parameters() if p.requires_grad and id(p) not in known]
    decayed = [p for p in others if p.ndim >= 2 and p is not trainee.rows]
    kept = [p for p in others if p.ndim < 2 or p is trainee.rows]
    groups = [{"params": decayed, "weight_decay": decay}, {"params": kept, "weight_decay": 0.0}]
    return [Muon(hidden, hidden_rate, decay=decay), torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))]


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose steps are replaced by the nearest semi-orthogonal matrices.

    Args:
        parameters: weight matrices of hidden layers; other parameters need another optimiser.
        lr: learning rate, which is the spectral norm of a step for matrices that are not taller than wide.
        momentum: decay of the averaged gradient.
        decay: weight decay, decoupled.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, decay: float = 0.0):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
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
    # The projections to queries, keys and values are stored as one matrix.
    parts = gradient.chunk(3) if rows == 3 * columns else (gradient,)
    return torch.cat([orthogonal(part) * max(1.0, part.shape[0] / columns) ** 0.5 for part in parts])


def orthogonal(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Return a matrix with the same singular vectors and singular values of 0.7 to 1.2, by Newton-Schulz steps."""
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)
