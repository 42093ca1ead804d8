"""``anomalib-cops calibrate``: set the thresholds of a model on images of the target, and save it."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from anomalib.utils.path import get_datasets_dir
from jsonargparse import ArgumentParser, Namespace

from anomalib_cops.conformal import FALSE_ALARM_RATE
from anomalib_cops.data.sets.find import find_declaration
from anomalib_cops.data.sets.published_set import PublishedSet
from anomalib_cops.errors import InputError, exit_code
from anomalib_cops.host.model_parser import model_parser, output_path, parse_model

PROGRAM = "anomalib-cops calibrate"
DESCRIPTION = """Set the thresholds of labels and masks so that good images give few false alarms, and save the model.

Images of the target are needed, without any labelled anomaly: good ones, or unlabelled ones with an assumed share of
anomalies. Without --data, every reference image (--model.few_shot_source) is scored by the others."""


def parser() -> ArgumentParser:
    """Make the parser of the command line."""
    made = model_parser(PROGRAM, DESCRIPTION)
    made.add_argument(
        "--data",
        type=str | None,
        default=None,
        help="folder of images of the target; or the name of the data set that the weights were trained on, whose good "
        "images are taken (published weights have no threshold)",
    )
    made.add_argument("--root", type=str | None, default=None, help="folder of data sets that are given by name")
    made.add_argument(
        "--false_alarm_rate", type=float, default=FALSE_ALARM_RATE, help="share of good images to be labelled"
    )
    made.add_argument("--anomalous_share", type=float, default=0.0, help="assumed share of anomalies in --data")
    made.add_argument("--output", type=str, required=True, help="weight file to write, *.safetensors")
    made.add_argument("--device", type=str, default="cpu", help="device to score images on, such as cuda")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(lambda: run(arguments))


def run(arguments: Sequence[str] | None = None) -> None:
    """Calibrate a model, save it, and print what its thresholds mean.

    Raises:
        InputError: an argument cannot be used.
    """
    command = parser()
    given = parse_model(command, arguments)
    output = output_path(given.output, ".safetensors")
    module, _, name = given.model.class_path.rpartition(".")
    if not hasattr(getattr(import_module(module), name), "calibrate"):
        raise InputError(f"{name} is none of the models of anomalib-cops; calibrate one of those.")
    model = command.instantiate_classes(given).model.to(given.device)
    calibration = model.calibrate(images_of(given), given.false_alarm_rate, given.anomalous_share)
    model.save_weights(output)
    image, pixel = (float(each) for each in model.post_processor.thresholds)
    print(f"{output}: labels for {calibration}; raw thresholds {image:.4g} of images and {pixel:.4g} of pixels")


def images_of(given: Namespace) -> list[str] | str | None:
    """Return the images that ``--data`` names: a folder as it is, the good images of a data set, or None.

    Raises:
        InputError: there is no such folder or data set.
    """
    declared = find_declaration(given.data) if given.data else None
    if declared is None or Path(given.data).is_dir():
        return given.data
    root = Path(given.root).expanduser() if given.root else Path(get_datasets_dir())
    data = PublishedSet(declared, root)
    tables = [data.samples(category) for category in data.categories]
    return [path for table in tables for path in table.loc[table["label_index"] == 0, "image_path"]]
