"""``anomalib-cops score``: score a folder into a table, and say at the end how many images have no score."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from anomalib_cops.errors import InputError, exit_code
from anomalib_cops.scoring.arguments import MODEL_FILES, Arguments, parse, path_of
from anomalib_cops.scoring.progress import ShownProgress
from anomalib_cops.scoring.run import Job, Summary, score
from anomalib_cops.tiles import parse_tiles

SOME_FAILED = 3
"""Exit code if rows of the table have an error."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(lambda: run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Score a folder, print what the table holds, and return the exit code.

    Raises:
        InputError: an argument cannot be used, or the table cannot be written.
    """
    given = parse(arguments)
    job = job_of(given)
    try:
        summary = _score(job, given)
    except KeyboardInterrupt:
        print(f"Interrupted; the same command goes on. The rows so far are in {job.output}.")
        return INTERRUPTED
    print(in_words(job, summary))
    return SOME_FAILED if summary.errors else 0


def job_of(given: Arguments) -> Job:
    """Return the job of a command line.

    Raises:
        InputError: an argument cannot be used.
    """
    options = given.options
    if options["batch_size"] < 1:
        raise InputError(f"--batch_size {options['batch_size']} has to be 1 or more.")
    if options["pictures"] == "":
        raise InputError("--pictures is an empty text; give a folder, or leave it out.")
    parse_tiles(options["tiles"])
    output = path_of(options["output"])
    assert output is not None
    return Job(
        options["source"],
        output,
        path_of(options["pictures"]),
        options["workers"],
        options["max_pixels"],
        options["retry_errors"],
    )


def predictor_maker(given: Arguments) -> Callable[[], Any]:
    """Return a function that makes the predictor; other processes can call it too."""
    shared = {name: given.options[name] for name in ("references", "tiles", "device", "batch_size", "precision")}
    if shared["tiles"] is None:
        del shared["tiles"]  # --model.tiles may give them too
    model = given.model
    if model.lower().endswith(MODEL_FILES):
        model = _absolute(model)
    own = {name: PATHS[name](value) if name in PATHS else value for name, value in given.model_arguments.items()}
    return partial(make_predictor, model, **{**own, **shared, "references": _absolute(shared["references"])})


def _absolute(value: Any) -> Any:
    """Return the absolute path of what is there, as workers on a cluster have another working folder."""
    path = path_of(value) if isinstance(value, str) and value else None
    return str(path.resolve()) if path is not None and path.exists() else value


def _absolute_weights(value: Any) -> Any:
    """Return the absolute path of a weight file; leave names of published weights, though a folder has that name."""
    return value if isinstance(value, str) and os.path.isdir(value) else _absolute(value)


PATHS = {"weights": _absolute_weights, "few_shot_source": _absolute}
"""Arguments of models that may be paths, and how to make them absolute."""


def make_predictor(model: str, **arguments: Any) -> Any:
    """Make a predictor; importing it here keeps what it needs out of processes that only read images."""
    from anomalib_cops.inference.predictor import Predictor

    return Predictor(model, **arguments)


def in_words(job: Job, summary: Summary) -> str:
    """Return what a run did, in one or two sentences."""
    sentences = [f"{job.output}: {_counted(summary.rows, 'image')}, {summary.scored + summary.failed} of them new."]
    if summary.errors:
        sentences.append(
            f"{summary.errors} without a score or picture; column 'error' says why, and --retry_errors tries again."
        )
    if summary.others:
        sentences.append(f"{_counted(summary.others, 'file')} left out: not an image by the suffix.")
    if summary.repeated:
        sentences.append(f"{_counted(summary.repeated, 'linked folder')} left out: listed under another path.")
    return " ".join(sentences)


def _score(job: Job, given: Arguments) -> Summary:
    maker = predictor_maker(given)
    if given.options["ray"] is not None:
        from anomalib_cops.scoring.on_ray import Cluster, score_on_ray

        cluster = Cluster(given.options["ray"] or None, given.options["ray_actors"], given.options["ray_gpus"])
        return score_on_ray(job, maker, cluster)
    with ShownProgress() as progress:
        return score(job, maker, progress)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
