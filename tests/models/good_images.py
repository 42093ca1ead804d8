"""Draw folders of good and defective pictures, for tests of references and calibration."""

from pathlib import Path

from PIL import Image

from anomalib_cops.data.synthetic.drawing import draw


def write(folder: Path, count: int, *, first: int = 0, anomalous: bool = False, category: str = "washer") -> list[str]:
    """Write pictures 64 pixels wide; return their paths by name."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(first, first + count):
        sample = draw(category, index, seed=0, anomalous=anomalous, size=64, defect=None, level="easy")
        path = folder / f"{'bad' if anomalous else 'good'}{index:03}.png"
        Image.fromarray(sample.image).save(path)
        paths.append(str(path))
    return paths
