"""Tokenizers of all frames: where words begin and end, what is too long, and where their files are found."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants as hub

from anomalib_cops.encoder import download, tokenizer
from anomalib_cops.encoder.load import model_config
from anomalib_cops.encoder.tokenizer import Tokenizer, load_tokenizer
from anomalib_cops.errors import InputError
from tests.towers.random_tower import known
from tests.towers.tokenizers import save_tokenizer

STARTS = {
    "ViT-B-16": 1,
    "ViT-L-14-CLIPA": 1,
    "ViT-H-14-worldwide": 1,
    "ViT-L-14-worldwide": 0,
    "ViT-B-16-SigLIP": 0,
    "ViT-B-16-SigLIP2": 0,
}


@pytest.fixture(params=STARTS)
def backbone(request: pytest.FixtureRequest) -> str:
    return known(request.param)


@pytest.fixture
def made(backbone: str, tmp_path: Path) -> Tokenizer:
    text = model_config(backbone)["text_cfg"]
    if text.get("hf_tokenizer_name"):
        save_tokenizer(text, tmp_path)
    return load_tokenizer(text, backbone, tmp_path)


def test_words_begin_after_the_start_token_and_end_before_what_closes_no_words(made: Tokenizer, backbone: str) -> None:
    assert made.start == STARTS[backbone]
    ids = made(["a", "a good object", ""])
    one, three, none = made.ends(ids)
    assert none == made.start and one == made.start + 1 and three >= made.start + 3
    # What follows the words is the same, however many there are.
    length = made.context_length - three
    assert ids[0, one : one + length].tolist() == ids[1, three:].tolist() == ids[2, none : none + length].tolist()


def test_the_longest_sentence_fills_the_context_and_one_more_word_is_refused(made: Tokenizer, backbone: str) -> None:
    room = made.context_length - made.start - 1
    fits = " ".join(["a"] * room)
    assert made.ends(made([fits])) == [made.context_length - 1]
    with pytest.raises(InputError, match=f"'a a .* more than the {made.context_length} tokens .*'{backbone}'"):
        made(["short", fits + " a"])


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nobody answers, and the hub's cache is an empty folder, which is returned."""
    monkeypatch.setattr(download.hub, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


TEXT: dict[str, Any] = {"hf_tokenizer_name": "timm/ViT-B-16-SigLIP2", "context_length": 64}


def test_a_tokenizer_that_is_nowhere_ends_in_a_sentence(offline: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'timm/ViT-B-16-SigLIP2' of backbone 'mine' is not in .*hub.* beside a local"):
        load_tokenizer(TEXT, "mine", tmp_path)


@pytest.mark.usefixtures("offline")
def test_a_cached_tokenizer_is_used_without_a_network(offline: Path, tmp_path: Path) -> None:
    known("ViT-B-16-SigLIP2")
    save_tokenizer(TEXT, tmp_path / "made")
    commit = "a" * 40
    folder = offline / "models--timm--ViT-B-16-SigLIP2"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    shutil.copytree(tmp_path / "made", folder / "snapshots" / commit)
    assert load_tokenizer(TEXT, "mine", cache_dir=str(offline))(["a good object"]).shape == (1, 64)


def test_damaged_files_and_a_missing_package_end_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match="The tokenizer of backbone 'mine' in .* cannot be used with open_clip"):
        load_tokenizer(TEXT, "mine", tmp_path)
    monkeypatch.setattr(tokenizer, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"needs the package transformers; install it with .*\[towers\]"):
        load_tokenizer(TEXT, "mine", tmp_path)
