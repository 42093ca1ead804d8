"""Published checkpoints: fetched from a real server on this machine, verified, kept; every way it can fail."""

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants as hub

from anomalib_cops import AnomalyCLIP, CoPS, InputError, network
from anomalib_cops.data.sets.catalog import CATALOG
from anomalib_cops.registry import METHODS
from anomalib_cops.weights.download import cached_path, fetch, recognise
from anomalib_cops.weights.published import PUBLISHED, Published
from tests.models.cases import lightning_class, method, official_stand_in

CONTENT = b"as published " * 1000


class Server(ThreadingHTTPServer):
    """Serves ``content``, or misbehaves by the address: /missing, /cut, /short, /silent, /slow to say anything."""

    content = CONTENT

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        if self.path == "/slow":
            time.sleep(1)
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
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
    running = Server()
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
    assert len(server.paths) == 1
    assert list(path.parent.iterdir()) == [path]


def test_a_wrong_digest_is_told_and_nothing_is_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, Published(f"{server.address}/good", sha256(b"other")))
    expected, found = sha256(b"other").split(":")[1], sha256(CONTENT).split(":")[1]
    with pytest.raises(InputError, match=f"/good gives has the sha256 digest {found} instead of {expected}; try again"):
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
    assert f"{address}/good cannot be reached (" in str(caught.value)
    assert f"save it as {cached_path('CoPS', 'visa')}" in str(caught.value)


def test_a_slow_proxy_is_not_no_network(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, Published(f"{server.address}/slow", git_blob(CONTENT)))
    monkeypatch.setenv(network.SECONDS, "0.2")
    with pytest.raises(InputError, match=f"gave no answer within 0.2 seconds .*larger {network.SECONDS}") as caught:
        fetch("CoPS", "visa")
    assert "cannot be reached" not in str(caught.value)
    monkeypatch.setenv(network.SECONDS, "20")
    assert fetch("CoPS", "visa").read_bytes() == CONTENT


@pytest.mark.parametrize("given", ["soon", "0", "-1", "nan", "inf"])
def test_a_patience_that_is_no_time_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    publish(monkeypatch, Published(f"{server.address}/good"))
    monkeypatch.setenv(network.SECONDS, given)
    with pytest.raises(InputError, match=f"{network.SECONDS}='{given}' is no number of seconds"):
        fetch("CoPS", "visa")


def test_a_cached_file_that_rotted_is_fetched_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, Published(f"{server.address}/good", git_blob(CONTENT)))
    path = fetch("CoPS", "visa")
    path.write_bytes(CONTENT[:-1])
    assert fetch("CoPS", "visa").read_bytes() == CONTENT
    assert len(server.paths) == 2


def test_what_no_program_can_fetch_is_taken_from_where_the_message_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError) as caught:
        fetch("VCPCLIP", "visa")
    path, entry = cached_path("VCPCLIP", "visa"), PUBLISHED["VCPCLIP"]["visa"]
    assert entry.address in str(caught.value) and f"save it as {path}" in str(caught.value)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    with pytest.raises(InputError, match=f"{path} has the sha256 digest .*; get the file from {entry.address}"):
        fetch("VCPCLIP", "visa")
    publish(monkeypatch, replace(entry, digest=sha256(CONTENT)), "VCPCLIP")
    assert fetch("VCPCLIP", "visa") == path


@pytest.mark.parametrize("name", PUBLISHED["AdaCLIP"])
def test_a_mirror_is_asked_by_name_and_the_authors_page_is_the_way_out(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    entry = PUBLISHED["AdaCLIP"][name]
    revision = "16153b4ba74c2fe54a99679fc2e1b1e29993dc3f"
    file = f"cubert-gmbh/adaclip/resolve/{revision}/pretrained_{name}.pth"
    assert entry.address == f"https://huggingface.co/{file}" and entry.digest.startswith("sha256:")
    monkeypatch.setattr(hub, "ENDPOINT", server.address)
    path = cached_path("AdaCLIP", name)
    with pytest.raises(InputError) as caught:
        fetch("AdaCLIP", name)
    assert server.paths == [f"/{file}"]
    assert "has the sha256 digest" in str(caught.value) and not path.exists()
    assert f"get the file from {entry.page} and save it as {path}" in str(caught.value)
    assert entry.page.startswith("https://drive.google.com/")
    # What a person put there is held against the same digest.
    path.write_bytes(CONTENT)
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=f"{path} has the sha256 digest .* as HF_HUB_OFFLINE is set"):
        fetch("AdaCLIP", name)
    monkeypatch.setitem(PUBLISHED["AdaCLIP"], name, replace(entry, digest=sha256(CONTENT)))
    assert fetch("AdaCLIP", name) == path and len(server.paths) == 1


def test_the_published_are_recognised_under_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.pth").write_bytes(CONTENT)
    entry = Published("https://nowhere", git_blob(CONTENT), trained_on=("visa",))
    publish(monkeypatch, entry)
    assert recognise("CoPS", tmp_path / "mine.pth") == entry
    assert recognise("AdaCLIP", tmp_path / "mine.pth") is None
    publish(monkeypatch, replace(entry, digest=""))
    assert recognise("CoPS", tmp_path / "mine.pth") is None


def test_a_server_that_falls_silent_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "SILENT_SECONDS", 0.2)
    publish(monkeypatch, Published(f"{server.address}/silent"))
    with pytest.raises(InputError, match=r"the download from .*/silent failed \(.*timed out.*\); try again"):
        fetch("CoPS", "visa")


def test_names_say_what_the_weights_were_trained_on() -> None:
    addresses = {key: value.address for key, value in PUBLISHED["AnomalyCLIP"].items()}
    assert "/9_12_4_multiscale/" in addresses["visa"] and "/9_12_4_multiscale_visa/" in addresses["mvtec"]
    assert "/visa/" in PUBLISHED["CoPS"]["visa"].address
    for entries in PUBLISHED.values():
        for name, entry in entries.items():
            assert set(entry.trained_on) <= {*CATALOG, "tn3k"} and len(set(entry.trained_on)) == len(entry.trained_on)
            # Names are those of the sets, but for two nicknames.
            parts = name.replace("clinicdb", "cvc_clinicdb").replace("colondb", "cvc_colondb").split("_", 1)
            assert name == "all" or list(entry.trained_on) == parts
    assert len(PUBLISHED["AdaCLIP"]["all"].trained_on) == 14


def test_unknown_names_are_told_from_paths() -> None:
    with pytest.raises(InputError, match="'vsa' is neither a file nor published weights of CoPS; did you mean 'visa'"):
        CoPS(backbone="tiny", weights="vsa")
    with pytest.raises(InputError, match=r"missing\.pth does not exist"):
        AnomalyCLIP(backbone="tiny", weights="missing.pth")


@pytest.mark.parametrize("name", METHODS)
def test_a_name_loads_the_published_tensors_and_their_preset(
    name: str, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = method(name).keys
    torch.save(official_stand_in(name), tmp_path / "official.pth")
    server.content = (tmp_path / "official.pth").read_bytes()
    entry = Published(f"{server.address}/good", git_blob(server.content), preset="mvtec", trained_on=("btad",))
    publish(monkeypatch, entry, name)
    model = lightning_class(name)(backbone="tiny", weights="visa")
    assert model.has_trained_weights and model.trained_on == [{"set": "btad", "categories": []}]
    by_path = lightning_class(name)(backbone="tiny", weights=str(tmp_path / "official.pth"))
    assert by_path.trained_on == model.trained_on
    loaded = {ours: v for ours, v in model.trained_state().items() if not ours.startswith(keys.optional)}
    assert loaded and all((value == 0.25).all() for value in loaded.values())
    preset = method(name).presets["mvtec"]
    assert (model.epochs, model.learning_rate) == (preset["epochs"], preset["learning_rate"])


def test_every_published_checkpoint_has_a_preset_of_its_method() -> None:
    assert set(PUBLISHED) == set(METHODS)
    for name, entries in PUBLISHED.items():
        assert all(entry.preset in method(name).presets for entry in entries.values())
