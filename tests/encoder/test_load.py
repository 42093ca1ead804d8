"""Weights in the formats they are published in, and those that cannot be used."""

import copy
import threading
import time
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from huggingface_hub import constants as hub
from safetensors.torch import save_file
from torch import Tensor

from anomalib_cops import network
from anomalib_cops.encoder import FrozenCLIP, download, load, load_clip
from anomalib_cops.encoder.state import SCRIPT_CONSTANTS
from anomalib_cops.errors import InputError
from tests.encoder.conftest import IMAGE_SIZE, SMALL

NAME = "Tiny-Test"


@pytest.fixture(autouse=True)
def known_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small model under a name of its own, as open_clip lists ViT-B-16."""
    configs = {NAME: SMALL, "Tiny-RN": {**SMALL, "vision_cfg": {"layers": [1, 1, 1, 1], "width": 8}}}
    original = open_clip.get_model_config
    monkeypatch.setattr(load.open_clip, "get_model_config", lambda name: configs.get(name) or original(name))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every address refuses, every cache is empty; returns the home folder."""
    monkeypatch.setattr(download.hub, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


class Archive(torch.nn.Module):
    """What OpenAI publishes: a traced model with a few integers among its weights."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        for name, value in [*state.items(), *((key, torch.tensor(1)) for key in SCRIPT_CONSTANTS)]:
            *path, leaf = name.split(".")
            module: torch.nn.Module = self
            for part in path:
                if not hasattr(module, part):
                    module.add_module(part, torch.nn.Module())
                module = getattr(module, part)
            module.register_buffer(leaf, value)

    def forward(self, x: Tensor) -> Tensor:
        """Something to trace."""
        return x + 1


def write(model: open_clip.CLIP, path: Path, kind: str) -> Path:
    state = {key: value.clone() for key, value in model.state_dict().items()}
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "archive":
        half = {key: value.half() if value.ndim > 1 else value for key, value in state.items()}
        with pytest.warns(FutureWarning, match="deprecated"):
            script = torch.jit.script(Archive(half))
        script.save(str(path))
    elif kind == "training checkpoint":
        torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [("w.pt", "plain"), ("w.bin", "plain"), ("w.pt", "training checkpoint"), ("w.safetensors", "safetensors")],
)
def test_local_files_in_every_format(
    small: open_clip.CLIP, images: Tensor, tmp_path: Path, name: str, kind: str
) -> None:
    path = write(small, tmp_path / name, kind)
    clip = load_clip(NAME, str(path), IMAGE_SIZE, quick_gelu=True)
    assert all(torch.equal(value, small.state_dict()[key]) for key, value in clip.model.state_dict().items())
    with torch.no_grad():
        expected = small.encode_image(images)
    found = clip.image.encode(images, layers=[4], normalize_cls=True).cls
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_openai_archive_keeps_its_matrices_and_tells_its_activation(
    small: open_clip.CLIP, images: Tensor, tmp_path: Path
) -> None:
    path = write(small, tmp_path / "ViT.pt", "archive")
    assert load.trained_with_quick_gelu(NAME, str(path))
    clip = load_clip(NAME, str(path), IMAGE_SIZE)
    weight = small.visual.conv1.weight
    assert torch.equal(clip.model.visual.conv1.weight, weight.half().float())
    assert clip.model.visual.conv1.weight.dtype == torch.float32
    expand = clip.model.visual.transformer.resblocks[0].mlp.c_fc
    assert (expand.weight.dtype, expand.bias.dtype) == (torch.float16, torch.float32)
    widened = FrozenCLIP(copy.deepcopy(clip.model).float(), IMAGE_SIZE)
    stored, exact = (each.image.encode(images, layers=[2, 4]) for each in (clip, widened))
    assert stored.patches.dtype == torch.float32
    assert torch.equal(stored.patches, exact.patches) and torch.equal(stored.cls, exact.cls)
    said = clip.text.encode_sentences(["a cat"])
    assert torch.equal(said, widened.text.encode_sentences(["a cat"]))
    clip.widen_text()
    assert {p.dtype for p in clip.model.transformer.parameters()} == {torch.float32}
    assert torch.equal(said, clip.text.encode_sentences(["a cat"]))


def test_random_weights_are_as_large_as_published_ones() -> None:
    clip = load_clip("ViT-B-32", None, 64)
    matrices = [p for p in clip.parameters() if p.dtype == torch.float16]
    assert sum(p.numel() for p in matrices) > 0.95 * sum(p.numel() for p in clip.parameters())
    assert torch.get_default_dtype() == torch.float32
    assert clip.image.encode(torch.randn(1, 3, 64, 64), layers=[12]).cls.isfinite().all()


def test_a_local_file_of_unknown_activation_is_asked_about(small: open_clip.CLIP, tmp_path: Path) -> None:
    path = write(small, tmp_path / "w.safetensors", "safetensors")
    with pytest.raises(InputError, match="which activation .* set quick_gelu"):
        load_clip("ViT-B-32", str(path))


@pytest.mark.parametrize(
    ("backbone", "tag", "quick"),
    [
        ("ViT-L-14-336", "openai", True),
        ("ViT-B-16", "openai", True),
        ("ViT-B-16", "laion2b_s34b_b88k", False),
        ("ViT-B-16", "laion400m_e32", False),
        ("ViT-B-16-quickgelu", "metaclip_400m", True),
    ],
)
def test_activation_follows_the_published_tag(backbone: str, tag: str, quick: bool) -> None:
    assert load.trained_with_quick_gelu(backbone, tag) is quick


@pytest.mark.parametrize("quick", [True, False])
def test_a_model_built_with_the_wrong_activation_is_caught(small: open_clip.CLIP, quick: bool) -> None:
    model = load.build({**SMALL, "quick_gelu": quick})
    with pytest.raises(InputError, match="QuickGELU"):
        load._assert_activation(model, not quick)


def test_paper_size_for_paper_patches() -> None:
    assert load.native_image_size("ViT-L-14-336") == 518
    assert load.native_image_size("ViT-B-16") == 224
    assert load.native_image_size("tiny") == 120


def test_unknown_backbone_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"Unknown backbone 'VitL-14-336'; did you mean .*ViT-L-14-336"):
        load_clip("VitL-14-336")


def test_towers_that_are_no_plain_transformers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Backbone 'Tiny-RN' cannot be used: its image tower is a ResNet; try "):
        load_clip("Tiny-RN", None, IMAGE_SIZE)


def damaged(kind: str, small: open_clip.CLIP, path: Path) -> None:
    state: dict[str, Any] = {key: value.clone() for key, value in small.state_dict().items()}
    if kind == "text":
        path.write_text("weights")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[:3000])
    elif kind == "code":
        torch.save({**state, "x": Exploit()}, path)
    elif kind == "foreign":
        torch.save({"epoch": torch.tensor(1), "weight": torch.zeros(3)}, path)
    elif kind == "nan":
        state["visual.proj"][0, 0] = float("nan")
        torch.save(state, path)
    elif kind == "no weights":
        torch.save([1, 2], path)


class Exploit:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("code of a weight file was run",))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text", "not a readable weight file"),
        ("empty", "not a readable weight file"),
        ("cut", "not a readable weight file"),
        ("code", "holds pickled code, which is refused"),
        ("foreign", "does not fit this model"),
        ("nan", "NaN or infinite values in visual.proj"),
        ("no weights", "does not hold a dictionary of weights"),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_unusable_files_are_named(small: open_clip.CLIP, tmp_path: Path, kind: str, message: str, suffix: str) -> None:
    path = tmp_path / f"mine{suffix}"
    damaged(kind, small, path)
    expected = message if suffix == ".pt" else "not a readable weight file"
    with pytest.raises(InputError, match=rf"mine\{suffix}.* {expected}"):
        load_clip(NAME, str(path), IMAGE_SIZE, quick_gelu=True)


def test_a_missing_file_is_not_taken_for_a_tag() -> None:
    with pytest.raises(InputError, match="/nowhere/w.pt does not exist"):
        load_clip("ViT-B-16", "/nowhere/w.pt")


def test_an_unknown_tag_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="'opnai' is neither a file nor a tag of backbone 'ViT-B-16'; .*openai"):
        load_clip("ViT-B-16", "opnai")


@pytest.mark.parametrize(("backbone", "tag"), [("ViT-L-14-336", "openai"), ("ViT-B-16", "laion2b_s34b_b88k")])
def test_without_network_one_sentence_says_what_to_do(no_network: Path, backbone: str, tag: str) -> None:
    began = time.monotonic()
    with pytest.raises(InputError) as caught:
        load_clip(backbone, tag)
    assert time.monotonic() - began < 5
    sentence = str(caught.value)
    for part in (f"'{tag}'", f"'{backbone}'", str(no_network), "pretrained=/path/to/file", "backbone='tiny'"):
        assert part in sentence
    assert "\n" not in sentence


def test_a_name_server_that_never_answers_is_waited_for_no_longer(
    no_network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def wait(*_: object, **__: object) -> None:
        ended.wait(20)
        raise OSError

    monkeypatch.setattr(network.urllib.request, "urlopen", wait)
    monkeypatch.setenv(network.SECONDS, "0.2")
    began = time.monotonic()
    with pytest.raises(InputError, match=f"gave no answer within 0.2 seconds .*larger {network.SECONDS}"):
        load_clip("ViT-B-16", "openai")
    assert time.monotonic() - began < 5
    ended.set()


def test_a_hub_that_shall_not_be_asked_is_not(no_network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="as HF_HUB_OFFLINE is set: connect once"):
        load_clip("ViT-B-16", "openai")


@pytest.mark.parametrize("whole", [True, False])
def test_half_a_download_is_never_left_in_the_cache(
    small: open_clip.CLIP, no_network: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    served = write(small, no_network / "served.pt", "plain")
    if not whole:
        served.write_bytes(served.read_bytes()[:5000])
    monkeypatch.setattr(download, "entry_of", lambda *_: {"url": served.as_uri()})
    monkeypatch.setattr(download, "unreachable", lambda _: "")
    cache = no_network / "cache"
    if whole:
        assert load_clip(NAME, "tag", IMAGE_SIZE, quick_gelu=True, cache_dir=str(cache)).depth == 4
    else:
        with pytest.raises(InputError, match="could not be fetched .*no whole archive"):
            load_clip(NAME, "tag", IMAGE_SIZE, quick_gelu=True, cache_dir=str(cache))
    assert [path.name for path in cache.iterdir()] == ["served.pt"] * whole


def test_a_cached_hub_file_is_used_without_a_network(
    small: open_clip.CLIP, no_network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"hf_hub": "someone/tiny/"}
    monkeypatch.setattr(download, "entry_of", lambda *_: entry)
    commit = "a" * 40
    folder = no_network / "hub" / "models--someone--tiny"
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    write(small, folder / "snapshots" / commit / "open_clip_model.safetensors", "safetensors")
    clip = load_clip(NAME, "someone", IMAGE_SIZE, quick_gelu=True, cache_dir=str(no_network / "hub"))
    assert torch.equal(clip.model.visual.proj, small.visual.proj)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # open_clip leaves the file open
def test_a_damaged_download_in_the_cache_is_not_loaded(no_network: Path) -> None:
    cache = no_network / "cache"
    cache.mkdir()
    (cache / "ViT-B-16.pt").write_bytes(b"half a download")
    with pytest.raises(InputError):
        load_clip("ViT-B-16", "openai", cache_dir=str(cache))
