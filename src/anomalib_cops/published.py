"""Checkpoints that the authors of the methods published: where each is, and how it is known to be the right one."""

import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import torch

from anomalib_cops.errors import InputError, nearest
from anomalib_cops.network import reachable

DOWNLOAD_SECONDS = 30.0
"""Of silence."""
_GITHUB = "https://raw.githubusercontent.com"
_COPS = f"{_GITHUB}/cqylunlun/CoPS/a3a41fcce10afd0e5c608c878ac8174c0ad426e3/results/models"
_ANOMALY_CLIP = f"{_GITHUB}/zqhang/AnomalyCLIP/45ed4dd35c05797d854294b5e8d585c545920089/checkpoints"
_DRIVE = "https://drive.google.com/file/d"


@dataclass(frozen=True)
class Published:
    """One published checkpoint, for ViT-L/14@336 at 518 pixels.

    Attributes:
        address: where it can be fetched, or the page where a person can.
        digest: ``sha256:…`` or the git blob id ``git:…`` of the file; empty where none is known.
        size: bytes; 0 where not known.
        preset: the settings that it was trained with.
    """

    address: str
    digest: str = ""
    size: int = 0
    preset: str = "default"

    @property
    def fetchable(self) -> bool:
        """Whether a plain request gives the file; Google Drive answers with a page about viruses."""
        return not self.address.startswith(_DRIVE)


PUBLISHED: dict[str, dict[str, Published]] = {
    "CoPS": {
        "visa": Published(
            f"{_COPS}/visa/epoch_10.pth", "git:9b658b4cf04d05b69af77c151d22b10b24786fc2", 19_141_911, "visa"
        ),
        "mvtec": Published(
            f"{_COPS}/mvtec/epoch_5.pth", "git:eddc18e60823ac370a0c43526226fe745c1caf07", 19_141_911, "mvtec"
        ),
    },
    # The official folders are named after the target: "_visa" was trained on MVTec AD.
    "AnomalyCLIP": {
        "visa": Published(
            f"{_ANOMALY_CLIP}/9_12_4_multiscale/epoch_15.pth", "git:c90f1d9d92d158b436a8fc193f984d4cec8b1fc8"
        ),
        "mvtec": Published(
            f"{_ANOMALY_CLIP}/9_12_4_multiscale_visa/epoch_15.pth", "git:72adc786e031b49ea288ba5f815f0d38cf158708"
        ),
    },
    "AdaCLIP": {
        "mvtec_colondb": Published(f"{_DRIVE}/1xVXANHGuJBRx59rqPRir7iqbkYzq45W0"),
        "visa_clinicdb": Published(f"{_DRIVE}/1QGmPB0ByPZQ7FucvGODMSz7r5Ke5wx9W"),
        "all": Published(f"{_DRIVE}/1Cgkfx3GAaSYnXPLolx-P7pFqYV0IVzZF"),
    },
    "VCPCLIP": {
        "visa": Published(
            f"{_DRIVE}/1MOTaN2hf6ejraTzax6Fnr0fa_b2ZMzjN",
            "sha256:bbb15ee3e303d6036d7eb82ecf6ee2419500d12472dc82c9023069b4110a2849",
            preset="visa",
        ),
        "mvtec": Published(
            f"{_DRIVE}/1uJE25wx2OgSbVPMhR2rbOO5ey0r9UkTr",
            "sha256:3e9364a149f34cb70dfed5dd493a34907659ee9955429ee0fdcf2899eb3f94e0",
            preset="mvtec",
        ),
    },
}
"""By method and by the sets that they were *trained* on. Sources: the four repositories; the digests of VCP-CLIP are
those that a public evaluation tool pins, as its authors give none."""


def find(method: str, name: str) -> Published | None:
    """The published checkpoint of that name; None if ``name`` is meant as a path.

    Raises:
        InputError: it is neither a name nor looks like a path.
    """
    known = PUBLISHED.get(method, {})
    if name in known:
        return known[name]
    if Path(name).suffix or os.sep in name or Path(name).exists():
        return None
    raise InputError(f"weights='{name}' is neither a file nor published weights of {method}{nearest(name, known)}")


def cached_path(method: str, name: str) -> Path:
    """Where a published checkpoint is kept: beside what torch.hub downloads."""
    return Path(torch.hub.get_dir()) / "checkpoints" / "anomalib_cops" / f"{method}_{name}.pth"


def fetch(method: str, name: str) -> Path:
    """Path of a published checkpoint, verified; downloaded once.

    Args:
        method: name of the model class.
        name: what it was trained on.

    Raises:
        InputError: it has to be fetched by hand, the network or the server fails, or the content is not the published.
    """
    published, path = PUBLISHED[method][name], cached_path(method, name)
    if path.is_file() and (problem := _problem(path, published)):
        path.unlink()
        if not published.fetchable:
            raise InputError(f"{path} {problem} and was deleted; get it again from {published.address}.")
    if path.is_file():
        return path
    if not published.fetchable:
        raise InputError(
            f"The weights '{name}' of {method} cannot be downloaded by a program: get the file from "
            f"{published.address} and save it as {path}, or give its path as weights."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        _download(published.address, unfinished, path)
        if problem := _problem(unfinished, published):
            raise InputError(f"{published.address} {problem}; nothing was kept, try again.")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _download(address: str, target: Path, final: Path) -> None:
    if not reachable(address):
        raise InputError(
            f"{address} cannot be reached: connect once, or get the file elsewhere and save it as {final}."
        )
    try:
        with urllib.request.urlopen(address, timeout=DOWNLOAD_SECONDS) as answer, target.open("wb") as file:
            while chunk := answer.read(1 << 20):
                file.write(chunk)
            expected = answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        raise InputError(
            f"{address} answers {error.code} {error.reason}; get the file elsewhere and give its path as weights."
        ) from None
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"The download from {address} failed ({reason}); try again.") from None
    if expected and target.stat().st_size < int(expected):
        raise InputError(
            f"The download from {address} was cut off after {target.stat().st_size} of {expected} bytes; try again."
        )


def _problem(path: Path, published: Published) -> str:
    """What is wrong with a file; empty if nothing."""
    size = path.stat().st_size
    if published.size and size != published.size:
        return f"holds {size} bytes instead of {published.size}"
    kind, _, expected = published.digest.partition(":")
    if not expected:
        return ""
    content = path.read_bytes()
    if kind == "git":
        found = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    else:
        found = hashlib.sha256(content).hexdigest()
    return "" if found == expected else f"has the {kind} digest {found} instead of {expected}"
