"""Test the study of tiles on small pictures: tiles find a scratch that whole images do not."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

from tools import tile_study as study


def test_tiles_find_what_whole_images_do_not(tmp_path: Path) -> None:
    output = tmp_path / "tiles.json"
    study.main(
        ["--pictures", "3", "--size", "900", "600", "--tiles", "auto", "--samples", "16", "--output", str(output)]
    )
    result = json.loads(output.read_text())
    whole, tiled = result["rows"]
    assert (whole["tiles"], tiled["tiles"]) == ("none", "auto")
    assert tiled["image_auroc"] >= 0.9 and tiled["found"] > 0.6
    assert whole["found"] < tiled["found"]
    assert "| `auto` |" in study.tile_table(result)


def test_a_scratch_is_as_large_as_it_says() -> None:
    plain = Image.new("L", (400, 300), 200)
    marked, centre = study.scratched(plain, 0)
    changed = np.asarray(ImageChops.difference(plain, marked)) > 60
    rows, columns = changed.nonzero()
    assert 0.8 * study.LENGTH * study.WIDTH < changed.sum() < 1.2 * study.LENGTH * study.WIDTH
    assert abs(columns.mean() - centre[0]) < 1.5 and abs(rows.mean() - centre[1]) < 1.5
