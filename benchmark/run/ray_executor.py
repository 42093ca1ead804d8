"""Run trainings and cells as tasks on a Ray cluster, which does the scheduling.

Weights, figures, maps and pictures travel through Ray's object store, and the process that started the run writes them
all. So workers need no folder of results; only the data sets have to be at the same path everywhere.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from anomalib_cops.errors import InputError
from anomalib_cops.scoring.ray_connection import connected, offer_token

from ..plan.cells import Cell
from . import ray_tasks
from .events import Event, Failed, Started, Trained
from .failures import sentence
from .protocols import PendingCell, Runner, TrainedFolders

RETRIES = 3
"""How often a task is started again after its worker has died."""


class RayExecutor:
    """Hand all cells to Ray at once; Ray repeats elsewhere what a dead worker was doing.

    Args:
        address: Address of a running cluster; if None, Ray is started on this machine.
        cpus: Processors per task.
        gpus: GPUs per task.

    Raises:
        InputError: Ray is not installed.
    """

    width: int | None = None

    def __init__(self, address: str | None = None, cpus: int = 1, gpus: float = 0) -> None:
        if address is not None:
            offer_token()
        try:
            import ray
        except ImportError:
            raise InputError("the executor 'ray' needs Ray: pip install 'anomalib-cops[ray]'.") from None
        if cpus < 1 or gpus < 0:
            raise InputError(f"a task under Ray needs at least one processor and no negative GPUs, not {cpus}, {gpus}.")
        self._ray: Any = ray
        self._address = address
        self._resources = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": RETRIES}

    def run(self, pending: Sequence[PendingCell], runner: Runner, folders: TrainedFolders) -> Iterator[Event]:
        """Start a task per missing training and one per cell; yield their events in the order in which they come."""
        with connected(self._address, "--ray-address") as ray:
            self._check_gpus()
            train = ray.remote(**self._resources)(ray_tasks.train)
            test = ray.remote(**self._resources, num_returns="streaming")(ray_tasks.test)
            shared_runner = ray.put(runner)
            trained: dict[str, Any] = {}
            # The cell of each test under way; None for a training.
            tasks: dict[Any, Cell | None] = {}
            for item in pending:
                training = item.cell.training
                if training.fingerprint not in trained:
                    folder = folders.trained(training)
                    if folder is None:
                        trained[training.fingerprint] = train.remote(shared_runner, training)
                        tasks[trained[training.fingerprint]] = None
                        yield Started(item.cell)
                    else:
                        trained[training.fingerprint] = ray.put(ray_tasks.read_trained(training, folder))
                tasks[test.remote(shared_runner, item, trained[training.fingerprint])] = item.cell
            yield from self._events(tasks)

    def _check_gpus(self) -> None:
        """Refuse tasks that no machine of the cluster could take."""
        wanted, available = self._resources["num_gpus"], self._ray.cluster_resources().get("GPU", 0)
        if wanted > available:
            raise InputError(f"every task wants {wanted} GPUs, but the cluster has {available:.0f}; lower --gpus.")

    def _events(self, tasks: dict[Any, Cell | None]) -> Iterator[Event]:
        """Yield the events of all tasks in the order in which they are ready."""
        ray = self._ray
        while tasks:
            ready = ray.wait(list(tasks), num_returns=1)[0][0]
            cell = tasks[ready]
            if cell is None:
                del tasks[ready]
                event = self._get(ready)
                if isinstance(event, Trained):  # otherwise the cells that waited for the training say why it failed
                    yield event
                continue
            try:
                reference = next(ready)
            except StopIteration:
                del tasks[ready]
                continue
            event = self._get(reference)
            if isinstance(event, BaseException):
                del tasks[ready]
                event = Failed(cell, "", f"the worker died {RETRIES + 1} times ({sentence(event)})")
            yield event

    def _get(self, reference: Any) -> Any:
        """Return what a task returned, or Ray's error."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return error
