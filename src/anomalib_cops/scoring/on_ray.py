"""Score on a Ray cluster: Ray Data decodes in tasks, keeps models in actors, and writes Parquet.

Fault tolerance and back-pressure are Ray's. A later run scores what is missing in the output.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from anomalib_cops.errors import InputError
from anomalib_cops.scoring import parts
from anomalib_cops.scoring.done import Done
from anomalib_cops.scoring.ray_connection import connected, offer_token
from anomalib_cops.scoring.ray_tasks import Scorer, decode, to_images
from anomalib_cops.scoring.run import Job, Summary, count_rows, missing
from anomalib_cops.scoring.settings_file import SettingsFile

# Images of one decoding task, and so about the images that are scored again after a run was killed.
_IMAGES_PER_TASK = 64


@dataclass(frozen=True)
class Cluster:
    """Where a job runs.

    Attributes:
        address: of a running cluster, such as ``host:6379`` or ``ray://host:10001``; None starts one on this machine.
        actors: copies of the model.
        gpus: GPUs of each copy, which may be a fraction.
    """

    address: str | None = None
    actors: int = 1
    gpus: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers, and that Ray is installed.

        Raises:
            InputError: a number is out of range, or Ray is missing.
        """
        if self.address is not None:
            offer_token()
        if self.actors < 1 or self.gpus < 0:
            raise InputError(f"--ray_actors {self.actors} has to be 1 or more, and --ray_gpus {self.gpus} 0 or more.")
        try:
            import ray.data  # noqa: F401
        except ImportError:
            raise InputError("--ray needs Ray Data; install it: pip install 'anomalib-cops[ray]'.") from None


def score_on_ray(job: Job, make_predictor: Callable[[], Any], cluster: Cluster) -> Summary:
    """Score the images of a job that have no row yet, on a Ray cluster.

    All machines have to see the images, the output and the weights at the same paths.

    Args:
        job: what is scored, and where the results go; the output becomes a folder of Parquet files.
        make_predictor: makes the :class:`~anomalib_cops.inference.predictor.Predictor`; every actor calls it once.
        cluster: where the job runs.

    Raises:
        InputError: an argument cannot be used, there are no images, the table was made with other settings, the cluster
            cannot be reached, or Ray gives up.
    """
    if job.output.suffix != ".parquet":
        raise InputError(f"--ray writes a folder of Parquet files; end --output {job.output} in .parquet.")
    if job.output.is_file():
        raise InputError(f"{job.output} is a file of a run without --ray; leave --ray out, or give another --output.")
    listing = job.listing()
    if next(iter(listing), None) is None:
        raise InputError(f"{job.source} contains no images; give a folder, a list of files or an archive of images.")
    pictures = job.picture_folder()
    with _connected(cluster) as ray:
        settings, batch_size = _call(ray, cluster, make_predictor)
        with SettingsFile(job.output, settings):
            parts.remove_unreadable(job.output)
            if job.retry_errors:
                parts.drop_errors(job.output)
            before = Summary()
            done = Done(count_rows(parts.read_parts(job.output), before))
            blocks = list(_blocks(missing(listing, done)))
            if blocks:
                source = None if pictures is None else pictures.source
                scorer = (make_predictor, job.pictures and job.pictures.resolve(), source)
                _run(ray, blocks, job, scorer, batch_size, cluster)
            after = Summary()
            for _ in count_rows(parts.read_parts(job.output), after):
                pass
    failed = after.earlier_failed - before.earlier_failed
    return Summary(
        scored=after.earlier - before.earlier - failed,
        failed=failed,
        earlier=before.earlier,
        earlier_failed=before.earlier_failed,
        others=listing.others,
        repeated=listing.repeated,
    )


def _run(ray: Any, blocks: list[Any], job: Job, scorer: tuple[Any, ...], batch_size: int, cluster: Cluster) -> None:
    context = ray.data.DataContext.get_current()
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context.enable_progress_bars = sys.stderr.isatty()
    images = ray.data.from_arrow(blocks)
    decoded = images.map_batches(
        decode, fn_kwargs={"max_pixels": job.max_pixels}, batch_size=None, batch_format="pyarrow"
    )
    scored = decoded.map_batches(
        Scorer,
        fn_constructor_args=scorer,
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=cluster.actors),
        num_gpus=cluster.gpus,
    )
    try:
        scored.write_parquet(str(job.output.resolve()))
    except Exception as error:  # Ray wraps whatever its workers raise
        raise _as_sentence(error) from None


def _blocks(images: Iterator[Any]) -> Iterator[Any]:
    """Yield the images as tables, one per decoding task; a million images take about 100 MB."""
    while some := list(islice(images, _IMAGES_PER_TASK)):
        yield to_images(some)


def _call(ray: Any, cluster: Cluster, make_predictor: Callable[[], Any]) -> tuple[dict[str, Any], int]:
    """Return the settings and the batch size of a predictor, which a worker makes."""
    try:
        task = ray.remote(num_gpus=cluster.gpus, max_retries=0)(_describe)
        described: tuple[dict[str, Any], int] = ray.get(task.remote(make_predictor))
    except Exception as error:  # Ray wraps whatever its workers raise
        raise _as_sentence(error) from None
    return described


def _describe(make_predictor: Callable[[], Any]) -> tuple[dict[str, Any], int]:
    with make_predictor() as predictor:
        return predictor.settings, predictor.batch_size


def _as_sentence(error: Exception) -> InputError:
    """Return an InputError that a worker raised, or else what Ray says in its last line."""
    text = str(error).strip()
    if "InputError: " in text:
        return InputError(text)
    reason = text.splitlines()[-1] if text else type(error).__name__
    return InputError(f"Ray gave up ({reason}); run the same command again to go on with what is missing.")


@contextmanager
def _connected(cluster: Cluster) -> Iterator[Any]:
    """Connect to a cluster that has the graphics cards that are asked for."""
    with connected(cluster.address, "the address after --ray") as ray:
        available = ray.cluster_resources().get("GPU", 0)
        if cluster.gpus * cluster.actors > available:
            raise InputError(
                f"{cluster.actors} models with {cluster.gpus} GPUs each need more than the {available:g} GPUs of the "
                "cluster; lower --ray_actors or --ray_gpus."
            )
        yield ray
