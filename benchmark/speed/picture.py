"""Draw operations and seconds of all methods as bars."""

import io
from pathlib import Path

from ..files import write_bytes
from .tables import SpeedResult, method_stages, ratio


def draw(result: SpeedResult, path: Path) -> None:
    """Write a picture of operations and seconds, as multiples of open_clip's ``encode_image``.

    Args:
        result: Content of ``speed.json``.
        path: The PNG file to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    works = result["inference"]["works"]
    stages = method_stages(works)
    names = list(stages)
    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    for offset, (measure, label) in enumerate((("gflop", "operations"), ("seconds", "seconds"))):
        values = [ratio(works, each, measure) for each in stages.values()]
        axes.barh([row + 0.4 * offset for row in range(len(names))], values, height=0.38, label=label)
    axes.set_yticks([row + 0.2 for row in range(len(names))], names)
    axes.invert_yaxis()
    axes.set_xlabel("multiple of open_clip's encode_image")
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    pyplot.close(figure)
    write_bytes(path, buffer.getvalue())
