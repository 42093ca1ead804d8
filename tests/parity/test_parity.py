"""Every method equals its official code, and the comparison itself can fail."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.parity import __main__ as command

GOLDEN = Path(__file__).parent / "golden"
AT_LEAST = {"cops": 400, "anomaly_clip": 130, "vcp_clip": 150, "ada_clip": 600}
"""Rows that a complete comparison has."""

CHANGED = {
    "cops": [
        "out.dbg.vision_vv.3",
        "out.test.visa.single.image_score",
        "out.train.mvtec.recon_loss",
        "out.train.visa.grad.ctx_pos",
        "out.train.visa.after1.t_n",
        "extra.pre.mask_soft",
        "learner.t_a",
        "in.z_train",
    ],
    "anomaly_clip": [
        "dbg.vision_tokens.3",
        "out.similarity.2",
        "out.image_score",
        "out.anomaly_map",
        "out.loss.focal.5",
        "out.grad.ctx_neg",
        "out.train3.param_after.ctx_pos",
        "aux.ffn_true.patch_features_raw_last",
        "aux.f32_text_features_raw",
        "metric.pixel_aupro",
        "learner.compound_prompts_text.3",
        "in.gt",
    ],
    "vcp_clip": [
        "out.patch_tokens.4",
        "out.text_block0_input.abnormal",
        "out.noglobal.text_features",
        "out.pre_map.2",
        "out.image_score_minmax",
        "out.grad_val.Zero_try.v_proj_pre_1.bias",
        "out.step1.val.prompt_norm.bias",
        "learner.deep_prompt_embeddings",
        "learner.Zero_try.q_proj_pre.weight",
    ],
    "ada_clip": [
        "out.patch_tokens.4",
        "out.hsf_labels",
        "out.kmeans_sweep_score",
        "out.train.1.loss.dice_normal.2",
        "out.train.0.grad_head16",
        "out.train.0.step_head16",
        "nohalf.train.1.grad_norm",
        "variant.V_D.proj_cls",
        "batch2_S.grad.clip_model.text_prompter.static_prompts.2",
        "learner.clip_model.visual_prompter.static_prompts.2",
        "in.mask",
    ],
}

INPUTS = ("learner.", "in.", "clip.")
"""What a recomputation reads; everything else is compared with what it finds."""


@cache
def arrays(method: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{method}.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize("method", command.METHODS)
def test_every_stage_loss_and_gradient_is_the_official_one(method: str) -> None:
    comparison = command.METHODS[method](arrays(method))
    wrong = [str(row) for row in comparison.rows if not row.ok]
    assert not wrong and not comparison.uncompared
    assert len(comparison.rows) > AT_LEAST[method]


def changed(method: str, name: str) -> np.ndarray:
    """An array of the fixture with its largest number changed."""
    copy = arrays(method)[name].copy()
    flat = copy.reshape(-1)
    largest = int(np.abs(flat).argmax())
    if flat.dtype.kind in "iu":
        flat[largest] -= 1
    else:
        flat[largest] *= 1.5 if name.startswith(INPUTS) else 1.02
    return copy


@pytest.mark.parametrize("method", CHANGED)
def test_every_changed_result_is_found_and_so_is_one_that_is_not_compared(method: str) -> None:
    results = [name for name in CHANGED[method] if not name.startswith(INPUTS)]
    comparison = command.METHODS[method](
        {**arrays(method), **{name: changed(method, name) for name in results}, "out.new_stage": np.zeros(3)}
    )
    assert set(results) <= {row.name for row in comparison.rows if not row.ok}
    assert comparison.uncompared == ["out.new_stage"] and not comparison.ok


INPUT_NAMES = [(method, name) for method in CHANGED for name in CHANGED[method] if name.startswith(INPUTS)]


@pytest.mark.parametrize(("method", "name"), INPUT_NAMES)
def test_a_changed_input_is_found(method: str, name: str) -> None:
    assert not command.METHODS[method]({**arrays(method), name: changed(method, name)}).ok


def test_command_tells_by_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = arrays("cops")
    assert command.main(["cops", str(GOLDEN / "cops.npz")]) == 0
    assert "0 out of tolerance, 0 missed" in capsys.readouterr().out
    np.savez(tmp_path / "broken.npz", **{**whole, "out.image_features": whole["out.image_features"] + 1e-3})
    assert command.main(["cops", str(tmp_path / "broken.npz")]) == 1
    assert "out.image_features" in next(line for line in capsys.readouterr().out.splitlines() if line.endswith("FAIL"))
    np.savez(tmp_path / "short.npz", **{k: v for k, v in whole.items() if k != "out.patch_features"})
    assert command.main(["cops", str(tmp_path / "short.npz")]) == 1
    assert "out.patch_features" in capsys.readouterr().out
