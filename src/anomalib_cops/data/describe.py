"""Descriptions of the catalogue's data sets: layouts as trees, and all data sets as a table."""

from collections.abc import Iterable

from anomalib_cops.data.sets.anomalib_layout import AnomalibLayout
from anomalib_cops.data.sets.declaration import Declaration, Layout
from anomalib_cops.data.sets.table_layout import TableLayout


def page(declared: Declaration) -> str:
    """Return everything that a declaration says of a data set, as plain text."""
    also = _download_note(declared) and f"; {_download_note(declared)}"
    lines = [
        f"{declared.title} ({declared.name}), {declared.domain}",
        f"home      {declared.home}",
        f"licence   {declared.licence}",
        f"test      {counts(declared)}",
        f"measured  {measured(declared)}",
        f"shows     {shown_categories(declared)}",
        f"folder    {' or '.join(declared.folders)}, below root{also}",
        "",
        "Its folder is laid out like one of these:",
    ]
    for layout in declared.layouts:
        lines += ["", *tree(layout, declared)]
    lines += [
        "",
        "or like any labelled folder: good/, defect/ and mask/, or test/good/, test/KIND/, ground_truth/KIND/.",
    ]
    return "\n".join(lines)


def tree(layout: Layout, declared: Declaration) -> list[str]:
    """Return the paths of a layout, one line each."""
    lines = [(_with_examples(path, declared), _with_examples(note, declared)) for path, note in _paths(layout)]
    width = max(len(path) for path, _ in lines)
    return [f"  {path:<{width}}  {note}" for path, note in lines]


def _paths(layout: Layout) -> list[tuple[str, str]]:
    """Return the patterns of a layout, each with a note on the files that it describes."""
    if isinstance(layout, TableLayout):
        where = f" where {' and '.join(f'{name} is {value}' for name, value in layout.where)}" if layout.where else ""
        paths = [
            (layout.file, f"a row per image{where}; anomalous: {' is '.join(layout.label)}"),
            (layout.image, "images, by the columns of that row"),
        ]
        return [*paths, (layout.mask, "masks")] if layout.mask else paths
    if isinstance(layout, AnomalibLayout):
        inside = f"{layout.inside}/" if layout.inside else ""
        return [(inside + path, note) for path, note in _paths(layout.layout)]
    if layout.normal == layout.anomalous:
        paths = [(layout.normal, "images, anomalous if there is a mask")]
    else:
        paths = [(layout.normal, "normal images")] if layout.normal else []
        paths.append((layout.anomalous, "anomalous images"))
    any_suffix = "" if "." in layout.mask.rpartition("/")[2] else ".*"
    return [*paths, (layout.mask + any_suffix, "masks")] if layout.mask else paths


def _with_examples(text: str, declared: Declaration) -> str:
    example = declared.categories[0] if declared.categories else "CATEGORY"
    return text.replace("{category}", example).replace("{kind}", "KIND").replace("{stem}", "NAME")


def catalogue(sets: Iterable[Declaration]) -> str:
    """Return a Markdown table of data sets."""
    lines = [
        "| name | data set | categories | test images | measured | licence | folder below `root` |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in sets:
        folder = " or ".join(f"`{folder}`" for folder in each.folders)
        cells = [
            f"`{each.name}`",
            f"[{each.title}]({each.home})",
            shown_categories(each),
            counts(each),
            measured(each),
            each.licence,
            folder + (_download_note(each) and f"; {_download_note(each)}"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def layouts(sets: Iterable[Declaration]) -> str:
    """Return the layouts of data sets as Markdown."""
    sections = []
    for each in sets:
        trees = "\n\n".join("\n".join(tree(layout, each)) for layout in each.layouts)
        sections.append(f"**{each.title}** (`{each.name}`)\n\n```\n{trees}\n```")
    return "\n\n".join(sections)


def counts(declared: Declaration) -> str:
    """Return the numbers of normal and anomalous images of the labelled part."""
    if declared.counts is None:
        return "not known"
    return "{} normal, {} anomalous".format(*declared.counts)


def measured(declared: Declaration) -> str:
    """Return the levels of metrics that the labels of a data set allow."""
    return " and ".join(f"{level}s" for level in declared.metrics)


def shown_categories(declared: Declaration) -> str:
    """Return the number and the first names of the categories, or the class name of a data set without categories."""
    if not declared.categories:
        return declared.class_name
    first = ", ".join(declared.categories[:3])
    return first if len(declared.categories) <= 3 else f"{len(declared.categories)}: {first}, …"


def _download_note(declared: Declaration) -> str:
    return "anomalib downloads it" if declared.download else ""
