"""Where a figure comes from: versions, commit, machine."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("anomalib-cops", "anomalib", "lightning", "open_clip_torch", "scikit-learn", "torch", "torchvision")


def provenance() -> dict[str, Any]:
    """Date, versions, commit and machine of this process, as plain data."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "python": platform.python_version(),
        "commit": commit(),
        "machine": {
            "system": platform.system(),
            "processor": _processor(),
            "cores": cores(),
            "gpu": _gpu(),
        },
    }


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def commit() -> str:
    """The commit of the checkout that this file is in, with ``+`` if it was changed; empty where there is none."""
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
    """The processor's name where the system tells, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _gpu() -> str:
    """Name of the first GPU; empty where there is none or torch is not loaded."""
    import sys

    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name(0) if torch is not None and torch.cuda.is_available() else ""
