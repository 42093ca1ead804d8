"""Define the backbones that this package's models run with, name their boards, and refuse contradictions."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from anomalib_cops.errors import InputError

from ..own_models import is_own_model
from .cells import Cell
from .entries import MethodConfig, Transfer
from .names import STAND_INS, last_name

_SEPARATOR = ", "


@dataclass(frozen=True)
class BackboneConfig:
    """An entry of ``backbones``: a backbone, and which weights and input size it has.

    Attributes:
        backbone: Name of the backbone.
        pretrained: Tag or file of its weights; those that the models take by default if None.
        image_size: Side of the models' input in pixels; that of the backbone if None.
    """

    backbone: str
    pretrained: str | None = None
    image_size: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of a model's constructor that the entry gives."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def board(self) -> str:
        """Name of the board: the backbone, followed by weights and size if the entry gives them."""
        parts = [self.backbone]
        parts += [last_name(self.pretrained)] if self.pretrained else []
        parts += [f"{self.image_size} px"] if self.image_size else []
        return _SEPARATOR.join(parts)


def as_mappings(entries: Any) -> list[dict[str, Any]]:
    """Return the entries of ``backbones`` in a configuration as mappings, where some are only a name.

    Raises:
        InputError: There is no list, or an entry is neither a name nor a mapping with the field ``backbone``.
    """
    if not isinstance(entries, list):
        raise InputError(f"backbones is '{entries}', but has to be a list, such as [tiny].")
    mappings = [{"backbone": each} if isinstance(each, str) else each for each in entries]
    for mapping in mappings:
        if not isinstance(mapping, dict) or not isinstance(mapping.get("backbone"), str):
            raise InputError(f"the entry {mapping} of backbones has no backbone; give a name, or {{backbone: NAME}}.")
        if not isinstance(size := mapping.get("image_size"), int | None):
            raise InputError(f"the image_size {size} of backbone '{mapping['backbone']}' is no number of pixels.")
    return mappings


def stand_in(board: str) -> str | None:
    """Return the embedded stand-in of a board, with any input size; None for a board of another backbone."""
    name = board.partition(_SEPARATOR)[0]
    return name if name in STAND_INS else None


def check_backbones(
    backbones: Sequence[BackboneConfig],
    backbone: str | None,
    methods: Sequence[MethodConfig],
    transfers: Sequence[Transfer],
) -> None:
    """Refuse a list of backbones that cannot be run, or that something else in the configuration contradicts.

    Whether the names are known is found out with the other options of the models; see ``resolved.py``.

    Args:
        backbones: The list.
        backbone: The single backbone of the configuration; None if it has none.
        methods: Methods of the matrix.
        transfers: Transfers of the matrix.

    Raises:
        InputError: The list is empty, an entry is there twice or has a wrong value, or a model of this package has a
            backbone of its own.
    """
    if not backbones:
        raise InputError("the matrix is empty: backbones is an empty list; name at least one.")
    if backbone is not None:
        raise InputError(f"the configuration has both backbone: {backbone} and backbones; give the list alone.")
    boards: dict[str, BackboneConfig] = {}
    for entry in backbones:
        _check_entry(entry)
        other = boards.get(entry.board)
        if other == entry:
            raise InputError(f"the backbone '{entry.board}' is there twice; give each once.")
        if other is not None:
            raise InputError(f"{other.pretrained} and {entry.pretrained} have the same name; rename one of the files.")
        boards[entry.board] = entry
    for method in methods:
        if is_own_model(method.model):
            _check_method(method, [each.options for each in transfers if each.is_for(method)])


def refuse_same_backbones(cells: Iterable[Cell]) -> None:
    """Refuse two entries that amount to the same backbone, such as one with and one without its default size.

    Args:
        cells: Cells whose trainings are resolved.

    Raises:
        InputError: Two cells with different boards compute the same.
    """
    first: dict[tuple[str, str], Cell] = {}
    for cell in cells:
        earlier = first.setdefault((cell.target_name, cell.fingerprint), cell)
        board, other = cell.training.backbone, earlier.training.backbone
        if board != other:
            raise InputError(f"the backbones '{other}' and '{board}' are the same; leave one out.")


def _check_entry(entry: BackboneConfig) -> None:
    if not entry.backbone:
        raise InputError("an entry of backbones has an empty name; give the name of a backbone.")
    if entry.image_size is not None and entry.image_size < 1:
        raise InputError(f"the image_size {entry.image_size} of backbone '{entry.backbone}' is no number of pixels.")
    if entry.backbone in STAND_INS and entry.pretrained:
        raise InputError(
            f"the backbone '{entry.backbone}' has weights of its own; leave pretrained: {entry.pretrained} out."
        )


def _check_method(method: MethodConfig, transfer_options: Sequence[dict[str, Any]]) -> None:
    if method.backbone:
        raise InputError(
            f"'{method.name}' has backbone: {method.backbone}, but runs with each of backbones and is ranked on the "
            "board of each; leave it out."
        )
    for options in (method.options, method.test_options, *transfer_options):
        for name in asdict(BackboneConfig("")):
            if options.get(name) is not None:
                raise InputError(
                    f"the options of '{method.name}' have {name}: {options[name]}, but the method runs with each of "
                    "backbones; leave it out, or give it in an entry of backbones."
                )
