"""Compare a random tower of a backbone with open_clip's own model, and run every method on it.

``python -m tests.towers BACKBONE [--small] [--export]``
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

from anomalib_cops.errors import exit_code
from tests.towers.comparisons import comparisons
from tests.towers.exports import exports_on
from tests.towers.methods import method_comparisons
from tests.towers.random_tower import random_tower


def main(arguments: list[str] | None = None) -> int:
    """Print one line per comparison and return 0 if all hold, 1 if one does not."""
    parser = argparse.ArgumentParser(prog="python -m tests.towers", description=__doc__)
    parser.add_argument("backbone", help="a model name of open_clip, or of timm for DINOv2 and DINOv3")
    parser.add_argument("--small", action="store_true", help="same classes, few and narrow blocks, few words")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random weights")
    parser.add_argument("--export", action="store_true", help="also export every method from a small tower; minutes")
    given = parser.parse_args(arguments)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        tower = random_tower(given.backbone, Path(folder), small=given.small, seed=given.seed)
        print(f"{'comparison':<40}  max_abs   tolerance")
        exports = exports_on(given.backbone, Path(folder)) if given.export else ()
        for each in itertools.chain(comparisons(tower), method_comparisons(tower), exports):
            print(each, flush=True)
            failures += not each.holds
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(exit_code(main))
