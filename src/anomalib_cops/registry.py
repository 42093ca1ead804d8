"""List the methods for the package, the plugin, the benchmark and the docs, without heavy imports."""

from collections import ChainMap
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Entry:
    """Describe one method.

    Attributes:
        name: name of its Lightning class, used on the command line, in weight files and in results.
        package: dotted name of its folder, whose ``lightning_model.py`` defines the class.
        title: its name in the literature.
        paper: short title and venue of its publication.
        arxiv: arXiv number of that publication.
        page: address of the authors' repository.
        needs: its input at test, in words for the docs.
    """

    name: str
    package: str
    title: str
    paper: str
    arxiv: str
    page: str
    needs: str = "images only"

    @property
    def module(self) -> str:
        """Dotted name of the module that defines the Lightning class."""
        return f"{self.package}.lightning_model"

    @property
    def lightning_class(self) -> Any:
        """The Lightning class. Reading it imports torch and anomalib."""
        return getattr(import_module(self.module), self.name)

    @property
    def method(self) -> Any:
        """The :class:`~anomalib_cops.models.method.Method` of the class: settings, presets, torch model, keys."""
        return self.lightning_class.method


METHODS: dict[str, Entry] = {
    each.name: each
    for each in (
        Entry(
            "AdaCLIP",
            "anomalib_cops.models.ada_clip",
            title="AdaCLIP",
            paper="Hybrid Learnable Prompts, ECCV 2024",
            arxiv="2407.15795",
            page="https://github.com/caoyunkang/AdaCLIP",
            needs="images and what they show",
        ),
        Entry(
            "AnomalyCLIP",
            "anomalib_cops.models.anomaly_clip",
            title="AnomalyCLIP",
            paper="Object-agnostic Prompt Learning, ICLR 2024",
            arxiv="2310.18961",
            page="https://github.com/zqhang/AnomalyCLIP",
        ),
        Entry(
            "CoPS",
            "anomalib_cops.models.cops",
            title="CoPS",
            paper="Conditional Prompt Synthesis, CVPR 2026",
            arxiv="2508.03447",
            page="https://github.com/cqylunlun/CoPS",
        ),
        Entry(
            "VCPCLIP",
            "anomalib_cops.models.vcp_clip",
            title="VCP-CLIP",
            paper="Visual Context Prompting, ECCV 2024",
            arxiv="2407.12276",
            page="https://github.com/xiaozhen228/VCP-CLIP",
        ),
    )
}
"""The methods, which equal their authors' code."""
BASELINES: dict[str, Entry] = {
    "LinearProbe": Entry(
        "LinearProbe",
        "anomalib_cops.models.linear_probe",
        title="linear probe",
        paper="Understanding Intermediate Layers Using Linear Classifier Probes, ICLR 2017 workshop",
        arxiv="1610.01644",
        page="https://openreview.net/forum?id=HJ4-rAVtl",
    )
}
"""Models of our own to compare the methods with."""
MODELS = ChainMap(BASELINES, METHODS)
"""All models, methods first: what is not about papers or published weights looks names up here."""
