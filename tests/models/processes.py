"""Train and test in one process and in two, and print the differences of tensors and figures."""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

import torch  # noqa: E402
from lightning.pytorch import Callback, seed_everything  # noqa: E402

from tests.models.cases import lightning_class  # noqa: E402
from tests.models.runs import engine, transfer  # noqa: E402

GLOBAL_BATCH = 4


class SeedNow(Callback):
    """Seed anew after the weights were drawn, as launching several processes does, also for one process."""

    def on_train_start(self, *_: Any) -> None:
        seed_everything(4, verbose=False)


def train(method: str, folder: Path, processes: int) -> dict[str, torch.Tensor]:
    seed_everything(3, verbose=False)
    # Leave rounding to float16 out: per process it differs from rounding the whole batch's gradient once.
    options: dict[str, Any] = {"half_deep_prompts": False, "feature_cache": str(folder / "features")}
    model = lightning_class(method)(backbone="tiny", visualizer=False, **options)
    data = transfer(train_batch_size=GLOBAL_BATCH // processes)
    engine(folder, max_epochs=2, callbacks=[SeedNow()], **spread(processes)).fit(model, datamodule=data)
    return dict(model.trained_state())


def figures(method: str, folder: Path, processes: int) -> dict[str, float]:
    """Draw data of three categories; the batches of two processes are mostly of different ones."""
    model = lightning_class(method)(backbone="tiny", visualizer=False, seed=3)
    data = transfer(target_categories=["carpet", "screw", "gear"], synthetic_samples=6, eval_batch_size=2)
    run = engine(folder, **spread(processes))
    return dict(run.test(model, datamodule=data, verbose=False)[0])


def spread(processes: int) -> dict[str, Any]:
    return {"devices": processes, "strategy": "ddp_fork"} if processes > 1 else {}


if __name__ == "__main__":
    torch.set_num_threads(1)  # more threads do not survive the fork
    folder, *methods = sys.argv[1:]
    apart = {}
    for method in methods:
        # Run two processes first, so that both write to the cache.
        two, one = (train(method, Path(folder) / method, processes) for processes in (2, 1))
        apart[method] = {name: (value - two[name]).abs().max().item() for name, value in one.items()}
        for name, value in one.items():
            if name.endswith("attn.in_proj_bias"):
                # The softmax removes the bias of the keys, so its gradient is noise, which Adam turns into steps.
                keys = slice(len(value) // 3, 2 * len(value) // 3)
                difference = (value - two[name]).abs()
                difference[keys] = 0
                apart[method][name] = difference.max().item()
    two, one = (figures(methods[0], Path(folder) / "test", processes) for processes in (2, 1))
    apart["figures"] = {name: abs(value - two[name]) for name, value in one.items()}
    print(json.dumps(apart))
