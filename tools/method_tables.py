"""Make tables of the methods from the registry and the dataclasses that declare arguments."""

from collections.abc import Iterable

from anomalib_cops.host.components import Components
from anomalib_cops.host.feature_cache import CacheOptions
from anomalib_cops.host.reference_images import ReferenceOptions
from anomalib_cops.host.runtime import RuntimeOptions
from anomalib_cops.host.tiling import TileOptions
from anomalib_cops.models.arguments import Argument, CommonArguments, arguments_of, default_words, method_arguments
from anomalib_cops.models.method import Method
from anomalib_cops.registry import MODELS


def methods_table() -> str:
    """Return the table of all models: class, paper and required input."""
    lines = ["| class | paper | needs at test |", "|---|---|---|"]
    for name, entry in MODELS.items():
        link = f"[arXiv {entry.arxiv}](https://arxiv.org/abs/{entry.arxiv})"
        lines.append(f"| `{name}` | [{entry.title}]({entry.page}): {entry.paper}, {link} | {entry.needs} |")
    return "\n".join(lines)


def common_table() -> str:
    """Return the table of arguments that all methods share."""
    declared = (CommonArguments, ReferenceOptions, TileOptions, CacheOptions, RuntimeOptions, Components)
    return _table((each, _shown(each.default)) for one in declared for each in arguments_of(one).values())


def settings_table(method: Method) -> str:
    """Return the table of one method's settings, and of shared arguments with other defaults or meanings."""
    shared, own = arguments_of(CommonArguments), method_arguments(method)
    rows = {name: each for name, each in own.items() if name not in shared}
    rows |= {name: own[name] for name in ("epochs", "learning_rate")}
    rows |= {name: own[name] for name in ("quick_gelu", "seed") if name in method.setting_names}
    text = {name: each.meaning.partition(" Default: ")[0] for name, each in rows.items()}
    rows = {name: Argument(name, each.kind, each.default, text[name]) for name, each in rows.items()}
    return _table((each, default_words(method, name) or "–") for name, each in rows.items())


def _table(rows: Iterable[tuple[Argument, str]]) -> str:
    lines = ["| argument | default | meaning |", "|---|---|---|"]
    lines += [f"| `{each.name}` | {default} | {_markdown(each.meaning)} |" for each, default in rows]
    return "\n".join(lines)


def _shown(default: object) -> str:
    return "–" if default is None else f"{default}"


def _markdown(meaning: str) -> str:
    """Convert a docstring's entry to a sentence in Markdown."""
    begins_with_a_name = "_" in meaning.partition(" ")[0]
    sentence = meaning if begins_with_a_name else meaning[:1].upper() + meaning[1:]
    return sentence.replace("``", "`").replace("|", "\\|")
