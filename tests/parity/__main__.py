"""``python -m tests.parity METHOD FIXTURE.npz``: recompute a fixture with the project and compare every stage."""

import argparse
import sys

import numpy as np
import torch

from tests.parity import ada_clip, anomaly_clip, cops, vcp_clip

METHODS = {
    "ada_clip": ada_clip.compare,
    "anomaly_clip": anomaly_clip.compare,
    "cops": cops.compare,
    "vcp_clip": vcp_clip.compare,
}


def main(arguments: list[str] | None = None) -> int:
    """Print one line per compared array; 0 if all of them agree."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("method", choices=sorted(METHODS))
    parser.add_argument("fixture")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    with np.load(options.fixture) as file:
        arrays = {name: file[name] for name in file.files}
    try:
        comparison = METHODS[options.method](arrays)
    except KeyError as missing:
        print(f"{options.fixture} lacks {missing}, which a complete fixture holds")
        return 1
    for row in comparison.rows:
        print(row)
    for name, reason in comparison.skipped.items():
        print(f"{name:58s} not compared: {reason}")
    for name in comparison.uncompared:
        print(f"{name:58s} MISSED: no stage of the project was compared with it")
    failed = sum(not row.ok for row in comparison.rows)
    print(f"{len(comparison.rows)} arrays compared, {failed} out of tolerance, {len(comparison.uncompared)} missed")
    return 0 if comparison.ok else 1


if __name__ == "__main__":
    sys.exit(main())
