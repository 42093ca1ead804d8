"""CoPS equals its official code, and the comparison itself can fail."""

from pathlib import Path

import numpy as np
import pytest

from tests.parity import __main__ as command
from tests.parity import cops

GOLDEN = Path(__file__).parent / "golden" / "cops.npz"


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


def test_every_stage_loss_and_gradient_is_the_official_one(arrays: dict[str, np.ndarray]) -> None:
    comparison = cops.compare(arrays)
    wrong = [str(row) for row in comparison.rows if not row.ok]
    assert not wrong and not comparison.uncompared
    assert len(comparison.rows) > 400


@pytest.mark.parametrize(
    "name",
    [
        "out.dbg.vision_vv.3",
        "out.test.visa.single.image_score",
        "out.train.mvtec.recon_loss",
        "out.train.visa.grad.ctx_pos",
        "out.train.visa.after1.t_n",
        "extra.pre.mask_soft",
        "learner.t_a",
        "in.z_train",
    ],
)
def test_one_changed_number_is_found(arrays: dict[str, np.ndarray], name: str) -> None:
    changed = arrays[name].copy()
    flat = changed.reshape(-1)
    largest = int(np.abs(flat).argmax())
    flat[largest] *= 1.02 if name.startswith(("out.", "extra.")) else 1.5
    assert not cops.compare({**arrays, name: changed}).ok


def test_a_result_that_is_not_compared_is_found(arrays: dict[str, np.ndarray]) -> None:
    comparison = cops.compare({**arrays, "out.test.new_stage": np.zeros(3)})
    assert comparison.uncompared == ["out.test.new_stage"]
    assert not comparison.ok


def test_command_tells_by_its_exit_code(
    arrays: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["cops", str(GOLDEN)]) == 0
    assert "0 out of tolerance, 0 missed" in capsys.readouterr().out
    broken = {**arrays, "out.image_features": arrays["out.image_features"] + 1e-3}
    np.savez(tmp_path / "broken.npz", **broken)
    assert command.main(["cops", str(tmp_path / "broken.npz")]) == 1
    assert "out.image_features" in next(line for line in capsys.readouterr().out.splitlines() if line.endswith("FAIL"))
    np.savez(tmp_path / "short.npz", **{k: v for k, v in arrays.items() if k != "out.patch_features"})
    assert command.main(["cops", str(tmp_path / "short.npz")]) == 1
    assert "out.patch_features" in capsys.readouterr().out
