"""Test that every Python snippet of the docs runs, and that other blocks are of known kinds."""

from pathlib import Path

import pytest

from tests.docs.conftest import CONFIGURATIONS
from tests.docs.pages import Found, all_blocks, languages
from tests.docs.reader import type_snippet

CHECKS = {
    ("docs/models.md", "CoPS("): "assert not model.has_trained_weights",
    ("docs/models.md", 'AnomalyCLIP(weights="visa")'): "assert model.has_trained_weights",
    ("README.md", "CoPS("): "assert zero_shot.has_trained_weights",
}
"""Assertions to run after snippets, by the snippet's page and a text that it contains."""

EXPORT = """
from anomalib_cops import AnomalyCLIP

exported = AnomalyCLIP(weights="visa").to_onnx(".")
for file in exported.parent.iterdir():
    file.rename(file.name)
"""
"""Makes model.onnx, which a snippet of the docs scores with."""


@pytest.mark.parametrize("found", all_blocks("python"), ids=lambda found: f"{found.page}: {found.text[:60]}")
def test_the_snippet_runs(found: Found, here: Path, home: Path) -> None:
    if "model.onnx" in found.text:
        made = type_snippet(EXPORT, here, home)
        assert made.sound, made.shown
    checks = [check for (page, words), check in CHECKS.items() if page == found.page and words in found.text]
    outcome = type_snippet("\n".join([found.text, *checks]), here, home)
    assert outcome.sound, f"{found.text}\n{outcome.shown[-3000:]}"


def test_no_check_is_left_over() -> None:
    for page, words in CHECKS:
        assert [each for each in all_blocks("python") if each.page == page and words in each.text], words


def test_no_block_is_in_a_language_that_nobody_runs() -> None:
    """Blocks without a language (folder trees) and JSON (the card's record of a training) are not run."""
    assert languages() <= {"bash", "python", "yaml", "json", ""}


def test_every_configuration_is_used() -> None:
    assert {each.page for each in all_blocks("yaml")} == set(CONFIGURATIONS)
