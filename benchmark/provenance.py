"""Describe where a figure comes from: versions, commit and machine."""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from anomalib_cops.machine import processors

PACKAGES = (
    *("anomalib-cops", "anomalib", "lightning", "nncf", "onnxruntime", "open_clip_torch", "openvino", "scikit-learn"),
    *("torch", "torchvision"),
)


def provenance() -> dict[str, Any]:
    """Return date, versions, commit and machine of this process as plain data."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "python": platform.python_version(),
        "commit": commit(),
        "machine": {
            "system": platform.system(),
            "processor": _processor(),
            "cores": processors(),
            "gpu": _gpu(),
        },
    }


def commit() -> str:
    """Return the commit of the checkout that holds this file; empty where there is none.

    A ``+`` is appended if the code of the package or of the benchmark differs from that commit.
    """
    folder = Path(__file__).resolve().parent
    try:
        answers = [
            subprocess.run(
                ["git", "-C", folder, *command], capture_output=True, text=True, check=True, timeout=10
            ).stdout
            for command in (
                ("rev-parse", "--short=12", "HEAD"),
                ("status", "--porcelain", "--", ":/src", ":/benchmark/*.py"),
                ("ls-files", "--", Path(__file__).resolve()),
            )
        ]
    except (OSError, subprocess.SubprocessError):
        return ""
    head, changes, tracked = (answer.strip() for answer in answers)
    return "" if not tracked else head + "+" * bool(changes)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    """Return the processor's name where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpu() -> str:
    """Return the name of the first GPU; empty where there is none, or where torch has not been imported."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name(0) if torch is not None and torch.cuda.is_available() else ""
