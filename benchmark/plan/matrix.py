"""What a benchmark runs: methods x transfers x seeds, as it stands in a YAML file."""

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import ArgumentParser

from anomalib_cops.errors import InputError, nearest
from anomalib_cops.plugin import MODELS

from .cells import BETWEEN_SOURCES, Cell, DataSettings, Training

Role = Literal["method", "baseline", "ablation"]
_OWN_BACKBONE = "ViT-L-14-336"
SYNTHETIC = "synthetic"


@dataclass
class Method:
    """A row of the tables.

    Attributes:
        name: What tables call it.
        model: One of this package's models, or the path of any class of anomalib models
            (``anomalib.models.WinClip``).
        options: Arguments of the model's constructor.
        test_options: Arguments that matter after training only: rows that differ in nothing else share one training.
        backbone: What its ranking is called; by default the option ``backbone``, or the class's own.
        role: A method, a baseline that methods are compared with, or an ablation, which is not ranked.
    """

    name: str
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    test_options: dict[str, Any] = field(default_factory=dict)
    backbone: str | None = None
    role: Role = "method"


@dataclass
class Transfer:
    """One auxiliary data set and what is tested after training on it.

    Attributes:
        source: Trained on: a name or a folder with masks, or several.
        targets: Tested on: names or folders.
        source_categories: Of the source; all when not given.
        target_categories: Of the targets; all when not given.
        discover: Adds every labelled data set that is found below the root, but the source; or those of a list that are
            found there.
        methods: Names of the methods that it is for; all when not given.
        options: Further arguments of the models' constructors, such as the preset of this source.
    """

    source: str | list[str]
    targets: list[str] = field(default_factory=list)
    source_categories: list[str] | None = None
    target_categories: list[str] | None = None
    discover: bool | list[str] = False
    methods: list[str] | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Matrix:
    """A benchmark.

    Attributes:
        methods: Rows.
        transfers: What is trained on and what is tested.
        seeds: One training each, at least 0.
        backbone: Of all models of this package that have no ``backbone`` among their options.
        data: How data are read, the same for all.
        pictures: Cases per category whose pictures and maps are kept for the gallery of the report.
    """

    methods: list[Method]
    transfers: list[Transfer]
    seeds: list[int] = field(default_factory=lambda: [0])
    backbone: str = _OWN_BACKBONE
    data: DataSettings = field(default_factory=DataSettings)
    pictures: int = 0

    def check(self) -> None:
        """Refuse what makes no benchmark.

        Raises:
            InputError: An empty matrix, negative or repeated seeds, unknown models or methods, a name given twice.
        """
        for name, entries in (("methods", self.methods), ("transfers", self.transfers), ("seeds", self.seeds)):
            if not entries:
                raise InputError(f"the matrix is empty: {name} is an empty list; name at least one.")
        for seed in self.seeds:
            if seed < 0:
                raise InputError(f"the seed {seed} is negative; seeds start at 0.")
        names = [method.name for method in self.methods]
        for values, kind in ((names, "method"), (self.seeds, "seed")):
            if twice := [value for value in values if list(values).count(value) > 1]:
                raise InputError(f"the {kind} {twice[0]} is there twice; give each once.")
        for method in self.methods:
            if "." not in method.model and method.model not in MODELS:
                raise InputError(
                    f"unknown model '{method.model}' of the method '{method.name}'{nearest(method.model, MODELS)}"
                )
        for transfer in self.transfers:
            for name in transfer.methods or []:
                if name not in names:
                    raise InputError(f"a transfer names the unknown method '{name}'{nearest(name, names)}")
            if not transfer.targets and not transfer.discover:
                raise InputError(f"the transfer from {transfer.source} has no targets; name some, or set discover.")

    def only(self, methods: Sequence[str] = (), seeds: Sequence[int] = ()) -> "Matrix":
        """The part of it with these methods and these seeds.

        Raises:
            InputError: A method that it does not have.
        """
        names = [method.name for method in self.methods]
        for name in methods:
            if name not in names:
                raise InputError(f"unknown method '{name}'{nearest(name, names)}")
        kept = [method for method in self.methods if not methods or method.name in methods]
        transfers = [
            replace(each, methods=[name for name in each.methods if not methods or name in methods])
            if each.methods is not None
            else each
            for each in self.transfers
        ]
        used = [each for each in transfers if each.methods is None or each.methods]
        return replace(self, methods=kept, transfers=used, seeds=list(seeds) or self.seeds)

    def cells(self, root: Path | None = None, found: Sequence[str] = ()) -> list[Cell]:
        """Everything that is to be run, in order: all targets of a training follow each other.

        Args:
            root: Folder of data sets; targets below it are known by their path in it.
            found: Targets for transfers that ask for what is below the root.

        Raises:
            InputError: Two targets of one name, or the same cell twice.
        """
        cells = list(self._cells(root, found))
        places: dict[tuple[str, str], Cell] = {}
        for cell in cells:
            if places.setdefault((cell.target_name, cell.fingerprint), cell) is not cell:
                raise InputError(f"{cell.title} is in the matrix twice; give each target once per source.")
        by_name: dict[str, str] = {}
        for cell in cells:
            if by_name.setdefault(cell.target_name, cell.target) != cell.target:
                raise InputError(
                    f"{by_name[cell.target_name]} and {cell.target} have the same name; rename one of the folders."
                )
        return cells

    def _cells(self, root: Path | None, found: Sequence[str]) -> Iterator[Cell]:
        for seed in self.seeds:
            for method in self.methods:
                for transfer in self.transfers:
                    if transfer.methods is not None and method.name not in transfer.methods:
                        continue
                    training = self._training(method, transfer, seed, root)
                    sources = training.source_id.split(BETWEEN_SOURCES)
                    others = [each for each in found if _is_wanted(identity(each, root), transfer, sources)]
                    targets = dict.fromkeys([*transfer.targets, *others])
                    for target in targets:
                        yield Cell(
                            training=training,
                            method=method.name,
                            role=method.role,
                            target=target,
                            target_id=identity(target, root),
                            target_categories=tuple(transfer.target_categories or ()),
                            test_options=method.test_options,
                            images_per_category=self.data.images_per_category,
                        )

    def _training(self, method: Method, transfer: Transfer, seed: int, root: Path | None) -> Training:
        sources = (transfer.source,) if isinstance(transfer.source, str) else tuple(transfer.source)
        options = {**transfer.options, **method.options}
        backbone = method.backbone
        if method.model in MODELS:
            options.setdefault("backbone", self.backbone)
            backbone = backbone or options["backbone"]
        return Training(
            model=method.model,
            options=options,
            backbone=backbone or f"of {method.model.rsplit('.', 1)[-1]}",
            source=sources,
            source_id=BETWEEN_SOURCES.join(identity(each, root) for each in sources),
            source_categories=tuple(transfer.source_categories or ()),
            seed=seed,
            data=self.data,
            spared=_spared(transfer, sources),
        )


def _is_wanted(name: str, transfer: Transfer, sources: Sequence[str]) -> bool:
    """Whether a data set that was found below the root is a target of a transfer."""
    return name not in sources and (transfer.discover is True or name in (transfer.discover or ()))


def _spared(transfer: Transfer, sources: Sequence[str]) -> tuple[str, ...]:
    """Categories of the synthetic world that are named for the test alone, so that the others are for the training."""
    drawn = SYNTHETIC in map(str.lower, sources) and SYNTHETIC in map(str.lower, transfer.targets)
    return tuple(transfer.target_categories or ()) if drawn and not transfer.source_categories else ()


def identity(name: str, root: Path | None) -> str:
    """A data set's name or folder as settings know it: the same where the root lies elsewhere."""
    path = Path(name).expanduser()
    # A bare word is taken as it is: a folder of that name in the working directory shall not change a fingerprint.
    if path.name == name or not path.is_dir():
        return name
    path = path.resolve()
    if root is not None and path.is_relative_to(root.resolve()):
        return path.relative_to(root.resolve()).as_posix()
    return path.as_posix()


def built_in() -> dict[str, Path]:
    """The configurations that come with the package, by name."""
    folder = Path(__file__).resolve().parents[1] / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_config(wanted: str) -> Path:
    """A built-in configuration by name, or a file.

    Raises:
        InputError: Neither.
    """
    known = built_in()
    path = known.get(wanted, Path(wanted).expanduser())
    if not path.is_file():
        raise InputError(f"there is no configuration '{wanted}'{nearest(wanted, known)}")
    return path


def read_matrix(wanted: str) -> Matrix:
    """Read a configuration.

    Args:
        wanted: As of ``find_config``.

    Raises:
        InputError: It is not there, no YAML, or has unknown or wrongly typed fields.
    """
    path = find_config(wanted)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Matrix)
    try:
        content = yaml.safe_load(path.read_text())
        if not isinstance(content, dict):
            raise InputError("it has no fields such as methods and transfers.")
        _refuse_unknown(content, Matrix, "the file")
        # jsonargparse passes over unknown names inside lists.
        for name, kind in (("methods", Method), ("transfers", Transfer)):
            for entry in content.get(name) or []:
                _refuse_unknown(entry, kind, f"an entry of {name}")
        with contextlib.redirect_stderr(io.StringIO()):
            matrix = Matrix(**vars(parser.instantiate_classes(parser.parse_object(content))))
    except Exception as error:  # both libraries raise errors of several kinds
        raise InputError(f"{path} is no benchmark: {' '.join(str(error).split())}") from None
    matrix.check()
    return matrix


def _refuse_unknown(content: Mapping[str, Any], kind: type, where: str) -> None:
    known = [each.name for each in fields(kind)]
    if not isinstance(content, dict):
        raise InputError(f"{where} is '{content}', but has to have fields; they are {', '.join(known)}.")
    for name in content:
        if name not in known:
            raise InputError(f"{where} has the unknown field '{name}'{nearest(name, known)}")
