"""Find the commands and snippets of the documentation."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.md")])
PROGRAM = re.compile(r"(anomalib|anomalib-cops|cops-benchmark|make|pip|python3?) ")
# In running text, `anomalib train` names a subcommand and `python -S` an option; neither is a complete command.
COMPLETE = re.compile(r"(anomalib|anomalib-cops) \w+ -|python3? -m |(cops-benchmark|make|pip) \w")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LIKE_THE_LINE = "..."
"""Ends an abbreviated command whose remaining arguments are those of the command on the same line."""


@dataclass(frozen=True)
class Found:
    """A piece of a page.

    Attributes:
        page: path below the root.
        language: language of the block, which may be empty; "text" for a command in running text.
        text: lines of the block, or one command on one line without its comment.
    """

    page: str
    language: str
    text: str


def blocks(text: str, page: str) -> Iterator[Found]:
    """Yield all fenced blocks of a page."""
    for language, content in FENCE.findall(text):
        yield Found(page, language, content)


def commands(text: str, page: str) -> Iterator[Found]:
    """Yield all commands of a page: in bash blocks, in "# or:" comments there, and in running text."""
    for block in blocks(text, page):
        if block.language == "bash":
            for line in block.text.replace("\\\n", " ").splitlines():
                yield from (Found(page, "bash", command) for command in _of_line(line))
    for span in re.findall(r"`([^`\n]+)`", FENCE.sub("", text)):
        if COMPLETE.match(span):
            yield Found(page, "text", span)


def _of_line(line: str) -> Iterator[str]:
    words = shlex.split(line, comments=True)
    if words:
        yield shlex.join(words)
    _, _, other = line.partition("# or: ")
    if other and PROGRAM.match(other):
        yield other.removesuffix(LIKE_THE_LINE).strip()


def all_commands() -> list[Found]:
    """Return every command of all pages once."""
    found = {each.text: each for page in PAGES for each in commands(page.read_text(), _name(page))}
    return list(found.values())


def all_blocks(language: str) -> list[Found]:
    """Return all blocks in a language."""
    return [each for page in PAGES for each in blocks(page.read_text(), _name(page)) if each.language == language]


def languages() -> set[str]:
    """Return the languages of all blocks."""
    return {each.language for page in PAGES for each in blocks(page.read_text(), _name(page))}


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()
