"""Make executors by name."""

from anomalib_cops.errors import InputError, nearest

from .local import LocalExecutor
from .protocols import Executor

EXECUTORS = ("local", "ray")


def make_executor(name: str, ray_address: str | None = None, cpus: int = 1, gpus: float = 0) -> Executor:
    """Make an executor.

    Args:
        name: One of ``EXECUTORS``.
        ray_address: Address of a running Ray cluster; if None, Ray is started on this machine.
        cpus: Processors per Ray task.
        gpus: GPUs per Ray task.

    Raises:
        InputError: The name is unknown, or Ray is not installed.
    """
    if name not in EXECUTORS:
        raise InputError(f"unknown executor '{name}'{nearest(name, EXECUTORS)}")
    if name == "local":
        return LocalExecutor()
    from .ray_executor import RayExecutor

    return RayExecutor(ray_address, cpus, gpus)
