"""Work on a Ray cluster: trainings and cells are Ray tasks, and Ray does the scheduling.

Weights, figures, maps and pictures travel through Ray's object store, and the process that started the run writes them
all, so workers need no folder of results; only the data sets have to lie at the same path everywhere.
"""

import os
import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from anomalib_cops.errors import InputError

from ..plan.cells import Cell, Training
from .local import sentence
from .work import Event, Failed, Folders, Runner, Started, Trained, Work

RETRIES = 3
"""Of a task whose worker died."""
CONNECT_SECONDS = 5.0


class RayExecutor:
    """Hands all work to Ray at once; what a dead worker was doing is done again elsewhere.

    Args:
        address: Of a running cluster; without it Ray is started on this machine.
        cpus: Per task.
        gpus: Per task.

    Raises:
        InputError: Ray is not installed.
    """

    width: int | None = None

    def __init__(self, address: str | None = None, cpus: int = 1, gpus: float = 0) -> None:
        try:
            import ray
        except ImportError:
            raise InputError("the executor 'ray' needs Ray: pip install 'anomalib-cops[ray]'.") from None
        if cpus < 1 or gpus < 0:
            raise InputError(f"a task under Ray needs at least one processor and no negative GPUs, not {cpus}, {gpus}.")
        self._ray: Any = ray
        self._address = address
        self._resources = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": RETRIES}

    def run(self, work: Sequence[Work], runner: Runner, folders: Folders) -> Iterator[Event]:
        """Start a task per training that is missing and one per cell; give what comes back as it comes."""
        ray = self._ray
        # Ray takes this over for good.
        before = signal.getsignal(signal.SIGTERM)
        self._connect()
        try:
            train = ray.remote(**self._resources)(_train)
            test = ray.remote(**self._resources, num_returns="streaming")(_test)
            shared = ray.put(runner)
            trained: dict[str, Any] = {}
            pending: dict[Any, Cell | None] = {}
            for item in work:
                training = item.cell.training
                if training.fingerprint not in trained:
                    folder = folders.trained(training)
                    if folder is None:
                        trained[training.fingerprint] = train.remote(shared, training)
                        pending[trained[training.fingerprint]] = None
                        yield Started(item.cell)
                    else:
                        trained[training.fingerprint] = ray.put(_read(training, folder))
                pending[test.remote(shared, item, trained[training.fingerprint])] = item.cell
            yield from self._collect(pending)
        finally:
            # Of a cluster that was there before, this only takes leave.
            ray.shutdown()
            signal.signal(signal.SIGTERM, before)

    def _connect(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._check_address()
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if self._address is None:
            options["include_dashboard"] = False
        try:
            self._ray.init(address=self._address, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = self._address or "this machine"
            raise InputError(f"Ray cannot be reached at {where} ({sentence(error)}); check --ray-address.") from None
        gpus, there = self._resources["num_gpus"], self._ray.cluster_resources().get("GPU", 0)
        if gpus > there:
            raise InputError(f"every task wants {gpus} GPUs, but the cluster has {there:.0f}; lower --gpus.")

    def _check_address(self) -> None:
        """Ray itself waits for many minutes for a cluster that is not there."""
        host, _, port = (self._address or "").removeprefix("ray://").rpartition(":")
        if not host or not port.isdigit():
            return
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            raise InputError(f"no Ray cluster answers at {self._address} ({error}); check --ray-address.") from None

    def _collect(self, pending: dict[Any, Cell | None]) -> Iterator[Event]:
        """Events of all tasks, in the order in which they are ready."""
        ray = self._ray
        while pending:
            (ready,), _ = ray.wait(list(pending), num_returns=1)
            cell = pending[ready]
            if cell is None:
                del pending[ready]
                event = self._result(ready)
                if isinstance(event, Trained):  # else the cells that waited for it tell why
                    yield event
                continue
            try:
                reference = next(ready)
            except StopIteration:
                del pending[ready]
                continue
            event = self._result(reference)
            if isinstance(event, BaseException):
                del pending[ready]
                event = Failed(cell, "", f"the worker died {RETRIES + 1} times ({sentence(event)})")
            yield event

    def _result(self, reference: Any) -> Any:
        """What a task gave, or the error."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return error


def _read(training: Training, folder: Path) -> Trained:
    """A training that is on this machine's disk, ready to travel."""
    from ..records.store import read_record

    record = read_record(folder)
    return Trained(training, record, (folder / record.weights).read_bytes() if record.weights else b"")


def _train(runner: Runner, training: Training) -> Trained | str:
    """A Ray task; a sentence if it fails, which is not tried again."""
    try:
        return runner.train(training)
    except Exception as error:  # whatever a model or its data may raise
        return sentence(error)


def _test(runner: Runner, item: Work, trained: Trained | str) -> Iterator[Event]:
    """A Ray task that gives its events one by one."""
    if isinstance(trained, str):
        yield Failed(item.cell, "", trained)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            if trained.record.weights:
                (Path(folder) / trained.record.weights).write_bytes(trained.weights)
            tester = runner.open(item.cell, Path(folder))
        except Exception as error:
            yield Failed(item.cell, "", sentence(error))
            return
        for category in item.categories:
            try:
                yield tester.test(item.cell, category)
            except Exception as error:
                yield Failed(item.cell, category, sentence(error))
