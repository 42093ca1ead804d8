"""Published checkpoints: fetched from a real server on this machine, verified, kept; every way it can fail."""

import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from anomalib_cops import AnomalyCLIP, CoPS, InputError, published
from anomalib_cops.plugin import MODELS
from anomalib_cops.published import PUBLISHED, Published, cached_path, fetch
from tests.models.cases import lightning_class, method

CONTENT = b"as published " * 1000


class Server(ThreadingHTTPServer):
    """Serves ``content``, or misbehaves by the address: /missing, /cut, /short, /silent."""

    content = CONTENT
    requests = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/silent":
            time.sleep(1)
        content = self.server.content[:500] if self.path == "/short" else self.server.content
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.path == "/cut" else content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub"


def publish(monkeypatch: pytest.MonkeyPatch, entry: Published, name: str = "CoPS") -> None:
    monkeypatch.setitem(PUBLISHED, name, {"visa": entry})


def git_blob(content: bytes) -> str:
    return "git:" + hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("digest", [git_blob(CONTENT), sha256(CONTENT), ""])
def test_a_good_file_is_fetched_once(server: Server, monkeypatch: pytest.MonkeyPatch, digest: str) -> None:
    publish(monkeypatch, Published(f"{server.address}/good", digest, len(CONTENT)))
    path = fetch("CoPS", "visa")
    assert path.read_bytes() == CONTENT and path == cached_path("CoPS", "visa")
    assert fetch("CoPS", "visa") == path
    assert server.requests == 1
    assert list(path.parent.iterdir()) == [path]


def test_a_wrong_digest_is_told_and_nothing_is_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, Published(f"{server.address}/good", sha256(b"other")))
    expected, found = sha256(b"other").split(":")[1], sha256(CONTENT).split(":")[1]
    with pytest.raises(InputError, match=f"digest {found} instead of {expected}; nothing was kept"):
        fetch("CoPS", "visa")
    assert not list(cached_path("CoPS", "visa").parent.iterdir())


def test_a_truncated_file_is_told_by_its_size(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, Published(f"{server.address}/short", git_blob(CONTENT), len(CONTENT)))
    with pytest.raises(InputError, match=f"holds 500 bytes instead of {len(CONTENT)}"):
        fetch("CoPS", "visa")


def test_a_connection_cut_half_way_is_told_and_the_next_try_starts_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, Published(f"{server.address}/cut", git_blob(CONTENT)))
    with pytest.raises(InputError, match=f"cut off after {len(CONTENT) // 2} of {len(CONTENT)} bytes; try again"):
        fetch("CoPS", "visa")
    assert not list(cached_path("CoPS", "visa").parent.iterdir())
    publish(monkeypatch, Published(f"{server.address}/good", git_blob(CONTENT)))
    assert fetch("CoPS", "visa").read_bytes() == CONTENT


def test_an_address_that_is_gone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, Published(f"{server.address}/missing"))
    with pytest.raises(InputError, match="/missing answers 404 .* give its path as weights"):
        fetch("CoPS", "visa")


def test_no_network(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    address = server.address
    server.shutdown()
    server.server_close()
    publish(monkeypatch, Published(f"{address}/good"))
    with pytest.raises(InputError) as caught:
        fetch("CoPS", "visa")
    assert "cannot be reached" in str(caught.value)
    assert f"save it as {cached_path('CoPS', 'visa')}" in str(caught.value)


def test_a_cached_file_that_rotted_is_fetched_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, Published(f"{server.address}/good", git_blob(CONTENT)))
    path = fetch("CoPS", "visa")
    path.write_bytes(CONTENT[:-1])
    assert fetch("CoPS", "visa").read_bytes() == CONTENT
    assert server.requests == 2


@pytest.mark.parametrize(("name", "weights"), [("AdaCLIP", "all"), ("VCPCLIP", "visa")])
def test_what_no_program_can_fetch_is_taken_from_where_the_message_says(name: str, weights: str) -> None:
    with pytest.raises(InputError) as caught:
        fetch(name, weights)
    path = cached_path(name, weights)
    assert PUBLISHED[name][weights].address in str(caught.value) and f"save it as {path}" in str(caught.value)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    if PUBLISHED[name][weights].digest:
        with pytest.raises(InputError, match="has the sha256 digest .* and was deleted; get it again from"):
            fetch(name, weights)
        assert not path.exists()
    else:
        assert fetch(name, weights) == path


def test_a_server_that_falls_silent_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "DOWNLOAD_SECONDS", 0.2)
    publish(monkeypatch, Published(f"{server.address}/silent"))
    with pytest.raises(InputError, match=r"The download from .*/silent failed \(.*timed out.*\); try again"):
        fetch("CoPS", "visa")


def test_names_say_what_the_weights_were_trained_on() -> None:
    addresses = {key: value.address for key, value in PUBLISHED["AnomalyCLIP"].items()}
    assert "/9_12_4_multiscale/" in addresses["visa"] and "/9_12_4_multiscale_visa/" in addresses["mvtec"]
    assert "/visa/" in PUBLISHED["CoPS"]["visa"].address


def test_unknown_names_are_told_from_paths() -> None:
    with pytest.raises(InputError, match="'vsa' is neither a file nor published weights of CoPS; did you mean 'visa'"):
        CoPS(backbone="tiny", weights="vsa")
    with pytest.raises(InputError, match=r"missing\.pth does not exist"):
        AnomalyCLIP(backbone="tiny", weights="missing.pth")


@pytest.mark.parametrize("name", MODELS)
def test_a_name_loads_the_published_tensors_and_their_preset(
    name: str, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys, state = method(name).keys, lightning_class(name)(backbone="tiny").trained_state()
    official = {key: torch.zeros(shape) for key, shape in keys.unused(state).items()}
    for ours, value in state.items():
        if not ours.startswith(keys.optional):
            part = torch.full_like(value[0] if ours in keys.stacked else value, 0.25)
            official |= {key: part for key in keys.names(ours)}
    torch.save({keys.entry: official} if keys.entry else official, tmp_path / "official.pth")
    server.content = (tmp_path / "official.pth").read_bytes()
    publish(monkeypatch, Published(f"{server.address}/good", git_blob(server.content), preset="mvtec"), name)
    model = lightning_class(name)(backbone="tiny", weights="visa")
    assert model.has_trained_weights
    loaded = {ours: v for ours, v in model.trained_state().items() if not ours.startswith(keys.optional)}
    assert loaded and all((value == 0.25).all() for value in loaded.values())
    preset = method(name).presets["mvtec"]
    assert (model.epochs, model.learning_rate) == (preset["epochs"], preset["learning_rate"])


def test_every_published_checkpoint_has_a_preset_of_its_method() -> None:
    assert set(PUBLISHED) == set(MODELS)
    for name, entries in PUBLISHED.items():
        assert all(entry.preset in method(name).presets for entry in entries.values())
