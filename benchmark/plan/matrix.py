"""Define the matrix of a benchmark, methods times backbones times transfers times seeds, and list its cells."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from anomalib_cops.errors import InputError, nearest

from ..own_models import is_own_model, own_model_names
from .backbones import BackboneConfig, check_backbones
from .cells import Cell, Training
from .data_settings import DataSettings
from .entries import FITTED_ON_REFERENCES, MethodConfig, Transfer
from .names import BETWEEN_SOURCES, identity
from .reference_draw import ReferenceDraw, check_references, reference_draws

_DEFAULT_BACKBONE = "ViT-L-14-336"


@dataclass
class Matrix:
    """What a configuration asks for.

    Attributes:
        methods: The methods to compare.
        transfers: What is trained on and what is tested.
        seeds: One training each; at least 0.
        backbone: Backbone of all models of this package that have no ``backbone`` among their options; by default that
            of the papers.
        backbones: Instead of it, backbones that every model of this package runs with, each of which has boards of its
            own. Models of others run once.
        data: How images are read, the same for all methods.
        pictures: Anomalous images per category whose pictures and maps are kept for the gallery of the page.
        shots: Numbers of reference images per category, 0 among them or not, which are all tested; without the field
            there are no references, and no image is left out of the test for them.
        draws: Seeds that references are drawn by; every number of references is tested with each.
    """

    methods: list[MethodConfig]
    transfers: list[Transfer]
    seeds: list[int] = field(default_factory=lambda: [0])
    backbone: str | None = None
    backbones: list[BackboneConfig] | None = None
    data: DataSettings = field(default_factory=DataSettings)
    pictures: int = 0
    shots: list[int] = field(default_factory=list)
    draws: list[int] = field(default_factory=lambda: [0])

    def check(self) -> None:
        """Refuse a matrix that cannot be run.

        Raises:
            InputError: The matrix is empty, a seed is negative, a model or method is unknown, a name or seed is given
                twice, or references or backbones are not as they have to be.
        """
        for name, entries in (("methods", self.methods), ("transfers", self.transfers), ("seeds", self.seeds)):
            if not entries:
                raise InputError(f"the matrix is empty: {name} is an empty list; name at least one.")
        for seed in self.seeds:
            if seed < 0:
                raise InputError(f"the seed {seed} is negative; seeds start at 0.")
        names = [method.name for method in self.methods]
        for values, kind in ((names, "method"), (self.seeds, "seed")):
            if repeated := [value for value in values if list(values).count(value) > 1]:
                raise InputError(f"the {kind} {repeated[0]} is there twice; give each once.")
        for method in self.methods:
            if "." not in method.model and not is_own_model(method.model):
                raise InputError(
                    f"unknown model '{method.model}' of the method '{method.name}'"
                    f"{nearest(method.model, own_model_names())}"
                )
        for transfer in self.transfers:
            for name in transfer.methods or []:
                if name not in names:
                    raise InputError(f"a transfer names the unknown method '{name}'{nearest(name, names)}")
            if not transfer.targets and not transfer.discover:
                raise InputError(f"the transfer from {transfer.source} has no targets; name some, or set discover.")
        check_references(self.methods, self.transfers, self.shots, self.draws)
        if self.backbones is not None:
            check_backbones(self.backbones, self.backbone, self.methods, self.transfers)

    def only(self, methods: Sequence[str] = (), seeds: Sequence[int] = (), draws: Sequence[int] = ()) -> "Matrix":
        """Return the part of the matrix with these methods, seeds and draws; all of them if none are named.

        Raises:
            InputError: A method is not in the matrix.
        """
        names = [method.name for method in self.methods]
        for name in methods:
            if name not in names:
                raise InputError(f"unknown method '{name}'{nearest(name, names)}")
        chosen = [method for method in self.methods if not methods or method.name in methods]
        transfers = [
            replace(each, methods=[name for name in each.methods if not methods or name in methods])
            if each.methods is not None
            else each
            for each in self.transfers
        ]
        used = [each for each in transfers if each.methods is None or each.methods]
        return replace(
            self, methods=chosen, transfers=used, seeds=list(seeds) or self.seeds, draws=list(draws) or self.draws
        )

    def cells(self, root: Path | None = None, discovered: Sequence[str] = ()) -> list[Cell]:
        """List all cells in the order in which they run: the targets of a training follow each other.

        Args:
            root: Folder of data sets; targets below it are known by their path in it.
            discovered: Data sets below the root, for transfers that discover their targets.

        Raises:
            InputError: Two targets have the same name, or a cell is there twice.
        """
        cells = list(self._cells(root, discovered))
        first: dict[tuple[str, str], Cell] = {}
        for cell in cells:
            if first.setdefault((cell.target_name, cell.fingerprint), cell) is not cell:
                raise InputError(f"{cell.title} is in the matrix twice; give each target once per source.")
        by_name: dict[str, str] = {}
        for cell in cells:
            if by_name.setdefault(cell.target_name, cell.target) != cell.target:
                raise InputError(
                    f"{by_name[cell.target_name]} and {cell.target} have the same name; rename one of the folders."
                )
        return cells

    def _cells(self, root: Path | None, discovered: Sequence[str]) -> Iterator[Cell]:
        for seed in self.seeds:
            for method in self.methods:
                for backbone in self._backbones_of(method):
                    for transfer in self.transfers:
                        if transfer.is_for(method):
                            training = self._training(method, backbone, transfer, seed, root)
                            targets = _targets(transfer, training, root, discovered)
                            for references in reference_draws(method, self.shots, self.draws):
                                for target in targets:
                                    yield self._cell(training, method, transfer, target, references, root)

    def _backbones_of(self, method: MethodConfig) -> Sequence[BackboneConfig | None]:
        """Return the backbones that a method runs with; None once for a model of others, which brings its own."""
        if not is_own_model(method.model):
            return [None]
        return self.backbones or [BackboneConfig(self.backbone or _DEFAULT_BACKBONE)]

    def _cell(
        self,
        training: Training,
        method: MethodConfig,
        transfer: Transfer,
        target: str,
        references: ReferenceDraw | None,
        root: Path | None,
    ) -> Cell:
        return Cell(
            training=training,
            method=method.name,
            role=method.role,
            target=target,
            target_id=identity(target, root),
            target_categories=tuple(transfer.target_categories or ()),
            test_options=method.test_options,
            images_per_category=self.data.images_per_category,
            references=references,
        )

    def _training(
        self, method: MethodConfig, backbone: BackboneConfig | None, transfer: Transfer, seed: int, root: Path | None
    ) -> Training:
        options = {**transfer.options, **method.options}
        board = method.backbone
        if backbone is not None:
            options |= {name: value for name, value in backbone.options.items() if name not in options}
            board = board or (backbone.board if self.backbones else options["backbone"])
        return Training(
            model=method.model,
            options=options,
            backbone=board or f"of {method.model.rsplit('.', 1)[-1]}",
            source=transfer.sources,
            source_id=BETWEEN_SOURCES.join(identity(each, root) for each in transfer.sources),
            source_categories=tuple(transfer.source_categories or ()),
            seed=seed,
            data=self.data,
            spared=transfer.spared,
            is_fitted_on_references=method.fitted_on == FITTED_ON_REFERENCES,
        )


def _targets(transfer: Transfer, training: Training, root: Path | None, discovered: Sequence[str]) -> list[str]:
    """Return the targets that a transfer names or discovers, each once."""
    source_names = training.source_id.split(BETWEEN_SOURCES)
    further = [each for each in discovered if transfer.discovers(identity(each, root), source_names)]
    return list(dict.fromkeys([*transfer.targets, *further]))
