"""The checkpoints that the authors of the methods published: addresses, digests, and what they were trained on."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalib_cops.errors import InputError, nearest

_GITHUB = "https://raw.githubusercontent.com"
_COPS = f"{_GITHUB}/cqylunlun/CoPS/a3a41fcce10afd0e5c608c878ac8174c0ad426e3/results/models"
_ANOMALY_CLIP = f"{_GITHUB}/zqhang/AnomalyCLIP/45ed4dd35c05797d854294b5e8d585c545920089/checkpoints"
_DRIVE = "https://drive.google.com/file/d"
HUB = "https://huggingface.co"
# A mirror that the authors announced in their tracker: https://github.com/caoyunkang/AdaCLIP/issues/59
_ADA_CLIP = f"{HUB}/cubert-gmbh/adaclip/resolve/16153b4ba74c2fe54a99679fc2e1b1e29993dc3f"


@dataclass(frozen=True)
class Published:
    """One published checkpoint, for ViT-L/14@336 at 518 pixels.

    Attributes:
        address: URL of the file, or of a web page from which a person can download it.
        digest: ``sha256:…`` or the git blob id ``git:…`` of the file; empty if unknown.
        size: size in bytes; 0 if unknown.
        preset: name of the settings that it was trained with.
        trained_on: the data sets that it was trained on, by their names in the catalogue (which lacks ``tn3k``).
        page: web page of the authors, if ``address`` is somebody else's mirror.
    """

    address: str
    digest: str = ""
    size: int = 0
    preset: str = "default"
    trained_on: tuple[str, ...] = ()
    page: str = ""

    @property
    def training_data(self) -> list[dict[str, Any]]:
        """The data sets that it was trained on as weight files record them: all of their categories."""
        return [{"set": name, "categories": []} for name in self.trained_on]

    @property
    def fetchable(self) -> bool:
        """Whether a plain request returns the file; Google Drive returns a page that warns of viruses instead."""
        return not self.address.startswith(_DRIVE)

    @property
    def by_hand(self) -> str:
        """Where a person can get the file, as part of a sentence."""
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
    # The official folders are named after the target: the one that ends in "_visa" was trained on MVTec AD.
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
    # The official README swaps the medical sets of the first two, and corrects that further down.
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
"""Published checkpoints by method and by the data sets that they were *trained* on.

Sources are the four repositories and the mirror of AdaCLIP's files. The digests of VCP-CLIP are those that a public
evaluation tool requires, as its authors give none.
"""


def find(method: str, name: str) -> Published | None:
    """Return the published checkpoint of that name; None if ``name`` looks like a path.

    Args:
        method: name of the model class.
        name: value that the user gave as ``weights``.

    Raises:
        InputError: the name is unknown and does not look like a path.
    """
    known = PUBLISHED.get(method, {})
    if name in known:
        return known[name]
    if Path(name).suffix or os.sep in name or Path(name).exists():
        return None
    raise InputError(f"weights='{name}' is neither a file nor published weights of {method}{nearest(name, known)}")
