"""Score with a fake predictor in a process of its own, which tests kill: ``python -m tests.scoring.fake_run``."""

import sys
from functools import partial
from pathlib import Path

from anomalib_cops.scoring.run import Job, score
from tests.scoring.fake import FakePredictor

if __name__ == "__main__":
    source, output, workers, pause, batch_size = sys.argv[1:]
    predictor = partial(FakePredictor, batch_size=int(batch_size), pause=float(pause))
    print(score(Job(source, Path(output), workers=int(workers)), predictor).rows)
