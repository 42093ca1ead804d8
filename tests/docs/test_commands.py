"""Test that every command of the docs works."""

import re
from pathlib import Path

import pytest

from tests.docs.commands import COMMANDS, Elsewhere, Run, entry_for
from tests.docs.pages import ROOT, Found, all_commands, commands
from tests.docs.reader import type_command, type_for_real

FOUND = all_commands()
RUN = [each for each in FOUND if isinstance(entry_for(each.text), Run)]


def test_every_command_is_run() -> None:
    missing = [f"{each.page}: {each.text}" for each in FOUND if entry_for(each.text) is None]
    assert not missing, f"No test runs these; say in tests/docs/commands.py how: {missing}"


def test_no_entry_is_left_over() -> None:
    used = [entry_for(each.text) for each in FOUND]
    assert not [entry.pattern for entry in COMMANDS if entry not in used]


@pytest.mark.parametrize(
    "entry", [entry for entry in COMMANDS if isinstance(entry, Elsewhere)], ids=lambda e: e.pattern
)
def test_what_another_test_runs_is_run_there(entry: Elsewhere) -> None:
    assert entry.by in (ROOT / entry.where).read_text()


@pytest.mark.parametrize("found", RUN, ids=lambda found: f"{found.page}: {found.text}")
def test_the_command_does_what_the_page_says(found: Found, here: Path, home: Path) -> None:
    entry = entry_for(found.text)
    assert isinstance(entry, Run)
    words = entry.words(found.text)
    outcome = (type_for_real if entry.installed else type_command)(words, here, home)
    assert outcome.sound, f"{words} ended with {outcome.code}:\n{outcome.shown[-3000:]}"
    assert re.search(entry.says, outcome.shown, flags=re.DOTALL), outcome.shown[-3000:]
    assert not [pattern for pattern in entry.leaves if not [*here.glob(pattern)]], outcome.shown[-3000:]


def test_commands_are_found_wherever_they_stand() -> None:
    page = (
        "Type `anomalib predict --model CoPS`, not `anomalib predict`.\n"
        "```bash\nanomalib train \\\n    --data 'a b'   # or: cops-benchmark run quick ...\n\nmake x  # or later\n```\n"
        "```python\nmake = 1\n```\n| `python -m a.b C` | `value` |\n"
    )
    assert [each.text for each in commands(page, "page.md")] == [
        "anomalib train --data 'a b'",
        "cops-benchmark run quick",
        "make x",
        "anomalib predict --model CoPS",
        "python -m a.b C",
    ]
