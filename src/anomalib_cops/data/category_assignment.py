"""Assignment of categories to source and target, so that no category is both trained on and tested on."""

import logging
from collections.abc import Sequence

from anomalib_cops.data.sets.find import LabelledSet, choose_categories
from anomalib_cops.errors import InputError

logger = logging.getLogger(__name__)

Selection = tuple[LabelledSet, tuple[str, ...]]
"""A data set and the categories that are selected from it."""


def assign_categories(
    sources: Sequence[LabelledSet],
    targets: Sequence[LabelledSet],
    source_categories: list[str] | None,
    target_categories: list[str] | None,
) -> tuple[list[Selection], list[Selection]]:
    """Select the categories of each data set to train on and to test on.

    Warn of categories that have the same name in different data sets of source and target.

    Args:
        sources: Data sets to train on.
        targets: Data sets to test on.
        source_categories: Names of the categories to train on; all if None.
        target_categories: Names of the categories to test on; all if None.

    Returns:
        The selections of the source and those of the target.

    Raises:
        InputError: Source and target have the same category of the same data set, or one of them is empty.
    """
    _check_arguments("source", sources, source_categories)
    _check_arguments("target", targets, target_categories)
    training = _named_or_all(source_categories, sources)
    testing = _named_or_all(target_categories, targets)
    for row, source in enumerate(sources):
        for column, target in enumerate(targets):
            if source.identity != target.identity:
                _warn_of_equal_names((source, training[row]), (target, testing[column]))
                continue
            if source.name == "synthetic":
                training[row], testing[column] = _divide(
                    source, training[row], testing[column], bool(source_categories), bool(target_categories)
                )
            if shared := sorted(set(training[row]) & set(testing[column])):
                raise InputError(same_data(f"the categories {', '.join(shared)} of {source.name}"))
    return _selections(sources, training), _selections(targets, testing)


def _check_arguments(argument: str, sets: Sequence[LabelledSet], categories: list[str] | None) -> None:
    if not sets:
        raise InputError(f"{argument} is an empty list; name at least one data set.")
    if categories is not None and not categories:
        raise InputError(f"{argument}_categories is an empty list; name at least one, or leave it out for all.")
    names = [each.name for each in sets]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"two {argument}s are named {twice}; give each data set once, and folders of different names.")


def _named_or_all(names: list[str] | None, sets: Sequence[LabelledSet]) -> list[tuple[str, ...]]:
    return choose_categories(names, sets) if names else [each.categories for each in sets]


def _selections(sets: Sequence[LabelledSet], categories: Sequence[tuple[str, ...]]) -> list[Selection]:
    selections = list(zip(sets, categories, strict=True))
    for each, selected in selections:
        if not selected:
            raise InputError(f"no category of {each.name} is left for one of the two sides; name fewer for the other.")
    return selections


def _divide(
    synthetic: LabelledSet, training: tuple[str, ...], testing: tuple[str, ...], train_named: bool, test_named: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide the synthetic categories between source and target.

    If only one of them names categories, the other gets the rest; if neither does, every second category trains.
    """
    if not train_named and not test_named:
        return synthetic.categories[::2], synthetic.categories[1::2]
    if not train_named:
        return tuple(category for category in training if category not in testing), testing
    if not test_named:
        return training, tuple(category for category in testing if category not in training)
    return training, testing


def _warn_of_equal_names(source: Selection, target: Selection) -> None:
    if "synthetic" in (source[0].name, target[0].name):
        return  # A synthetic product has only its name in common with a real one.
    for category in sorted(set(source[1]) & set(target[1])):
        logger.warning(
            f"'{category}' is trained on in {source[0].name} and tested on in {target[0].name}: figures are not those "
            "of a category never seen."
        )


def same_data(what: str) -> str:
    """Return the message about data that source and target share."""
    return f"{what} would be both trained on and tested on, which is not zero-shot; choose another source or target."
