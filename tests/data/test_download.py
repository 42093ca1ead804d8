"""Published sets that anomalib downloads, from a server on this machine."""

import hashlib
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from anomalib.data import MVTecAD
from anomalib.data.utils import DownloadInfo

from anomalib_cops.data import ZeroShotTransfer
from anomalib_cops.data.sets.catalog import CATALOG
from anomalib_cops.errors import InputError
from tests.data.replicas import build

MODULE = sys.modules[MVTecAD.__module__]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that is served, and its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def published(tmp_path: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """MVTec AD in miniature as an archive on the server."""
    declared = CATALOG["mvtec"]
    content = build(declared, declared.layouts[0], tmp_path / "original")
    archive = server[0] / "mvtec.tar.xz"
    with tarfile.open(archive, "w:xz") as opened:
        for category in content.iterdir():
            opened.add(category, category.name)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(MODULE, "DOWNLOAD_INFO", DownloadInfo("mvtecad", f"{server[1]}/mvtec.tar.xz", digest))
    return archive


def transfer(root: Path) -> ZeroShotTransfer:
    """To MVTec AD below a root."""
    return ZeroShotTransfer(target="mvtec", root=str(root), synthetic_samples=4, num_workers=0)


def test_what_is_not_there_is_downloaded_once(published: Path, tmp_path: Path) -> None:
    data = transfer(tmp_path / "root")
    data.prepare_data()
    data.setup()
    assert len(data.targets) == 15
    assert (data.samples["set"] == "mvtec").sum() == 15 * 4
    published.unlink()
    again = transfer(tmp_path / "root")
    again.prepare_data()
    again.setup()
    assert not list((tmp_path / "root").rglob("*.tar.xz"))


def test_half_a_download_is_not_kept(published: Path, tmp_path: Path) -> None:
    published.write_bytes(published.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"the download of http\S* to \S*MVTecAD failed \(Calculated hash"):
        transfer(tmp_path / "root").prepare_data()
    assert not list((tmp_path / "root").rglob("*.tar.xz"))


def test_an_archive_of_an_earlier_attempt_is_looked_at_first(published: Path, tmp_path: Path) -> None:
    left = tmp_path / "root" / "MVTecAD" / "mvtec.tar.xz"
    left.parent.mkdir(parents=True)
    left.write_bytes(published.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"mvtec\.tar\.xz is not the archive that was published; delete it"):
        transfer(tmp_path / "root").prepare_data()
    assert left.is_file()
    left.write_bytes(published.read_bytes())
    published.unlink()
    transfer(tmp_path / "root").prepare_data()


def test_no_network_is_said(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = DownloadInfo("mvtecad", "http://127.0.0.1:9/mvtec.tar.xz", "0")
    monkeypatch.setattr(MODULE, "DOWNLOAD_INFO", info)
    with pytest.raises(InputError, match=r"MVTecAD does not exist, and http\S* cannot be reached"):
        transfer(tmp_path / "root").prepare_data()


def test_what_nobody_can_download_is_said_where_it_is_missing(tmp_path: Path) -> None:
    data = ZeroShotTransfer(target="headct", root=str(tmp_path), synthetic_samples=4)
    data.prepare_data()
    with pytest.raises(InputError, match="HeadCT is expected in"):
        data.setup()
