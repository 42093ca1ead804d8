"""Find configurations and read them: YAML files that hold a matrix."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from anomalib_cops.errors import InputError, nearest

from .backbones import BackboneConfig, as_mappings
from .entries import MethodConfig, Transfer
from .matrix import Matrix


def built_in() -> dict[str, Path]:
    """Return the configurations that come with the package, by name."""
    folder = Path(__file__).resolve().parents[1] / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_config(name: str) -> Path:
    """Return the path of a built-in configuration, or of a file.

    Raises:
        InputError: There is neither a configuration nor a file of that name.
    """
    configurations = built_in()
    path = configurations.get(name, Path(name).expanduser())
    if not path.is_file():
        raise InputError(f"there is no configuration '{name}'{nearest(name, configurations)}")
    return path


def read_matrix(name: str) -> Matrix:
    """Read a configuration and check it.

    Args:
        name: Name of a built-in configuration, or path of a YAML file.

    Raises:
        InputError: The file is not there or no YAML, or it has unknown or wrongly typed fields.
    """
    path = find_config(name)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Matrix)
    try:
        content = yaml.safe_load(path.read_text())
        if not isinstance(content, dict):
            raise InputError("it has no fields such as methods and transfers.")
        _refuse_unknown(content, Matrix, "the file")
        # jsonargparse passes over unknown names inside lists.
        if "backbones" in content:
            content["backbones"] = as_mappings(content["backbones"])
        for key, kind in (("methods", MethodConfig), ("transfers", Transfer), ("backbones", BackboneConfig)):
            for entry in content.get(key) or []:
                _refuse_unknown(entry, kind, f"an entry of {key}")
        matrix = Matrix(**vars(parser.instantiate_classes(parser.parse_object(content))))
    except Exception as error:  # yaml and jsonargparse raise errors of several kinds
        raise InputError(f"{path} is no benchmark: {' '.join(str(error).split())}") from None
    matrix.check()
    return matrix


def _refuse_unknown(content: Mapping[str, Any], kind: type, where: str) -> None:
    """Raise InputError if ``content`` has a field that the dataclass ``kind`` does not have."""
    names = [each.name for each in fields(kind)]
    if not isinstance(content, dict):
        raise InputError(f"{where} is '{content}', but has to have fields; they are {', '.join(names)}.")
    for name in content:
        if name not in names:
            raise InputError(f"{where} has the unknown field '{name}'{nearest(name, names)}")
