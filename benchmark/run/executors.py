"""Executors by name."""

from anomalib_cops.errors import InputError, nearest

from .local import LocalExecutor
from .work import Executor

EXECUTORS = ("local", "ray")


def make_executor(name: str, ray_address: str | None = None, cpus: int = 1, gpus: float = 0) -> Executor:
    """An executor.

    Args:
        name: One of ``EXECUTORS``.
        ray_address: Of a running cluster.
        cpus: Per task under Ray.
        gpus: Per task under Ray.

    Raises:
        InputError: Unknown name, or Ray is not installed or not reachable.
    """
    if name not in EXECUTORS:
        raise InputError(f"unknown executor '{name}'{nearest(name, EXECUTORS)}")
    if name == "local":
        return LocalExecutor()
    from .ray_executor import RayExecutor

    return RayExecutor(ray_address, cpus, gpus)
