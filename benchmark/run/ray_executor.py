"""Run trainings and cells as tasks on a Ray cluster, which does the scheduling.

Weights, figures, maps and pictures travel through Ray's object store, and the process that started the run writes them
all. So workers need no folder of results; only the data sets have to be at the same path everywhere.
"""

import os
import signal
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from anomalib_cops.errors import InputError
from anomalib_cops.scoring.ray_token import offer_token

from ..plan.cells import Cell
from . import ray_tasks
from .events import Event, Failed, Started, Trained
from .failures import sentence
from .protocols import PendingCell, Runner, TrainedFolders

RETRIES = 3
"""How often a task is started again after its worker has died."""
CONNECT_SECONDS = 5.0


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
        ray = self._ray
        # Ray replaces the handler and does not put it back.
        handler = signal.getsignal(signal.SIGTERM)
        self._connect()
        try:
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
        finally:
            # This only disconnects from a cluster that was running before.
            ray.shutdown()
            signal.signal(signal.SIGTERM, handler)

    def _connect(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._check_address()
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if self._address is None:
            options["include_dashboard"] = False
        try:
            self._ray.init(address=self._address or "local", **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = self._address or "this machine"
            raise InputError(f"Ray cannot be reached at {where} ({sentence(error)}); check --ray-address.") from None
        wanted, available = self._resources["num_gpus"], self._ray.cluster_resources().get("GPU", 0)
        if wanted > available:
            raise InputError(f"every task wants {wanted} GPUs, but the cluster has {available:.0f}; lower --gpus.")

    def _check_address(self) -> None:
        """Refuse an address at which nothing answers; Ray itself would wait for many minutes."""
        host, _, port = (self._address or "").removeprefix("ray://").rpartition(":")
        if not host or not port.isdigit():
            return
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            raise InputError(f"no Ray cluster answers at {self._address} ({error}); check --ray-address.") from None

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
