"""Checkpoints that the authors of the methods published: where each is, and how it is known to be the right one."""

import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import IncompleteRead
from pathlib import Path

import torch
from huggingface_hub import constants as hub

from anomalib_cops.errors import InputError, nearest
from anomalib_cops.network import unreachable

DOWNLOAD_SECONDS = 30.0
"""Of silence."""
_GITHUB = "https://raw.githubusercontent.com"
_COPS = f"{_GITHUB}/cqylunlun/CoPS/a3a41fcce10afd0e5c608c878ac8174c0ad426e3/results/models"
_ANOMALY_CLIP = f"{_GITHUB}/zqhang/AnomalyCLIP/45ed4dd35c05797d854294b5e8d585c545920089/checkpoints"
_DRIVE = "https://drive.google.com/file/d"
_HUB = "https://huggingface.co"
# Announced by the authors in their tracker: https://github.com/caoyunkang/AdaCLIP/issues/59
_ADA_CLIP = f"{_HUB}/cubert-gmbh/adaclip/resolve/16153b4ba74c2fe54a99679fc2e1b1e29993dc3f"


@dataclass(frozen=True)
class Published:
    """One published checkpoint, for ViT-L/14@336 at 518 pixels.

    Attributes:
        address: where it can be fetched, or the page where a person can.
        digest: ``sha256:…`` or the git blob id ``git:…`` of the file; empty where none is known.
        size: bytes; 0 where not known.
        preset: the settings that it was trained with.
        trained_on: the data sets, by their names in the catalogue; ``tn3k`` alone is not in it.
        page: of the authors, for a person, where ``address`` is somebody else's mirror.
    """

    address: str
    digest: str = ""
    size: int = 0
    preset: str = "default"
    trained_on: tuple[str, ...] = ()
    page: str = ""

    @property
    def fetchable(self) -> bool:
        """Whether a plain request gives the file; Google Drive answers with a page about viruses."""
        return not self.address.startswith(_DRIVE)

    @property
    def by_hand(self) -> str:
        """Where a person gets it."""
        page = self.page or ("" if self.fetchable else self.address)
        return f"from {page}" if page else "elsewhere"


PUBLISHED: dict[str, dict[str, Published]] = {
    "CoPS": {
        "visa": Published(
            f"{_COPS}/visa/epoch_10.pth",
            "git:9b658b4cf04d05b69af77c151d22b10b24786fc2",
            19_141_911,
            preset="visa",
            trained_on=("visa",),
        ),
        "mvtec": Published(
            f"{_COPS}/mvtec/epoch_5.pth",
            "git:eddc18e60823ac370a0c43526226fe745c1caf07",
            19_141_911,
            preset="mvtec",
            trained_on=("mvtec",),
        ),
    },
    # The official folders are named after the target: "_visa" was trained on MVTec AD.
    "AnomalyCLIP": {
        "visa": Published(
            f"{_ANOMALY_CLIP}/9_12_4_multiscale/epoch_15.pth",
            "git:c90f1d9d92d158b436a8fc193f984d4cec8b1fc8",
            trained_on=("visa",),
        ),
        "mvtec": Published(
            f"{_ANOMALY_CLIP}/9_12_4_multiscale_visa/epoch_15.pth",
            "git:72adc786e031b49ea288ba5f815f0d38cf158708",
            trained_on=("mvtec",),
        ),
    },
    # The README swaps the medical sets of the first two; scripts, and a correction further down, agree with the names.
    "AdaCLIP": {
        "mvtec_colondb": Published(
            f"{_ADA_CLIP}/pretrained_mvtec_colondb.pth",
            "sha256:be51a42c052bd4cf060e54f503a1f5d0b2a3b899bc8dc2e243042f18b215427e",
            trained_on=("mvtec", "cvc_colondb"),
            page=f"{_DRIVE}/1xVXANHGuJBRx59rqPRir7iqbkYzq45W0",
        ),
        "visa_clinicdb": Published(
            f"{_ADA_CLIP}/pretrained_visa_clinicdb.pth",
            "sha256:3deabbbaf1e412cfdfcb42923a500b986f4b9ee96ccbc7a735d89dbc87df44c8",
            trained_on=("visa", "cvc_clinicdb"),
            page=f"{_DRIVE}/1QGmPB0ByPZQ7FucvGODMSz7r5Ke5wx9W",
        ),
        "all": Published(
            f"{_ADA_CLIP}/pretrained_all.pth",
            "sha256:33e8d3db1cb4aab030866b8b70a46e10aa27ebf2c23b5463cb07f2574addd98c",
            trained_on=(
                *("mvtec", "visa", "btad", "mpdd", "sdd", "dagm", "dtd_synthetic"),
                *("headct", "brainmri", "br35h", "isic", "cvc_colondb", "cvc_clinicdb", "tn3k"),
            ),
            page=f"{_DRIVE}/1Cgkfx3GAaSYnXPLolx-P7pFqYV0IVzZF",
        ),
    },
    "VCPCLIP": {
        "visa": Published(
            f"{_DRIVE}/1MOTaN2hf6ejraTzax6Fnr0fa_b2ZMzjN",
            "sha256:bbb15ee3e303d6036d7eb82ecf6ee2419500d12472dc82c9023069b4110a2849",
            preset="visa",
            trained_on=("visa",),
        ),
        "mvtec": Published(
            f"{_DRIVE}/1uJE25wx2OgSbVPMhR2rbOO5ey0r9UkTr",
            "sha256:3e9364a149f34cb70dfed5dd493a34907659ee9955429ee0fdcf2899eb3f94e0",
            preset="mvtec",
            trained_on=("mvtec",),
        ),
    },
}
"""By method and by the sets that they were *trained* on. Sources: the four repositories, and the mirror of AdaCLIP's
files; the digests of VCP-CLIP are those that a public evaluation tool pins, as its authors give none."""


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


def recognise(method: str, path: Path) -> Published | None:
    """The published checkpoint that a file is, whatever it is called; None if it is none.

    Args:
        method: name of the model class.
        path: a file that exists.
    """
    known = PUBLISHED.get(method, {}).values()
    return next((each for each in known if each.digest and not _problem(path, each)), None)


def fetch(method: str, name: str) -> Path:
    """Path of a published checkpoint, verified; downloaded once.

    Args:
        method: name of the model class.
        name: what it was trained on.

    Raises:
        InputError: it has to be fetched by hand, the network or the server fails, or the content is not the published.
    """
    published, path = PUBLISHED[method][name], cached_path(method, name)
    rotten = f"{path} {problem}; " if path.is_file() and (problem := _problem(path, published)) else ""
    if path.is_file() and not rotten:
        return path
    what = f"The weights '{name}' of {method}"
    by_hand = f"get the file {published.by_hand} and save it as {path}, or give its path as weights"
    if not published.fetchable:
        reason = f"are not there: {rotten}" if rotten else "cannot be downloaded by a program: "
        raise InputError(f"{what} {reason}{by_hand}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        problem = _download(published.address, unfinished)
        if not problem and (wrong := _problem(unfinished, published)):
            problem = f"what {published.address} gives {wrong}"
        if problem:
            raise InputError(f"{what} are not there: {rotten}{problem}; try again, or {by_hand}.")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _download(address: str, target: Path) -> str:
    """Fetch a file; what kept it from coming whole, empty if nothing did."""
    if address.startswith(_HUB):
        if hub.HF_HUB_OFFLINE:
            return f"{address} is not asked, as HF_HUB_OFFLINE is set"
        address = hub.ENDPOINT + address.removeprefix(_HUB)
    if problem := unreachable(address):
        return f"{address} {problem}"
    expected = None
    try:
        with urllib.request.urlopen(address, timeout=DOWNLOAD_SECONDS) as answer, target.open("wb") as file:
            expected = answer.headers.get("Content-Length")
            while chunk := answer.read(1 << 20):
                file.write(chunk)
    except urllib.error.HTTPError as error:
        error.close()
        return f"{address} answers {error.code} {error.reason}"
    except IncompleteRead:  # of newer Pythons, which say so themselves
        pass
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        return f"the download from {address} failed ({reason})"
    if expected and target.stat().st_size < int(expected):
        return f"the download from {address} was cut off after {target.stat().st_size} of {expected} bytes"
    return ""


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
