"""Test the command line: arguments, exit codes, and what it says at the end."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from anomalib_cops.scoring import command
from tests.scoring.fake import FakePredictor, save_image


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Record how predictors are made; they are fakes."""
    calls = []

    def make(model: str, **arguments: Any) -> FakePredictor:
        calls.append({"model": model, **{name: value for name, value in arguments.items() if value is not None}})
        return FakePredictor(arguments["batch_size"])

    monkeypatch.setattr(command, "make_predictor", make)
    return calls


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        save_image(tmp_path / f"images/{number}.png", 40 * number)
    return tmp_path / "images"


def run(folder: Path, *words: str) -> int:
    output = () if "--output" in words else ("--output", str(folder.parent / "scores.csv"))
    return command.main([str(folder), "--workers", "0", *output, *words])


def test_exit_codes_and_last_words(folder: Path, made: list, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "notes.md").touch()
    assert run(folder, "--model", "model.onnx") == 0
    assert "3 images, 3 of them new. 1 file left out: not an image by the suffix." in capsys.readouterr().out
    (folder / "bad.png").touch()
    assert run(folder, "--model", "model.onnx") == 3
    assert "4 images, 1 of them new. 1 without a score or picture" in capsys.readouterr().out
    assert run(folder, "--model=model.onnx") == 3
    (folder / "bad.png").unlink()
    save_image(folder / "bad.png", 3)
    assert run(folder, "--model=model.onnx", "--retry_errors") == 0
    assert "3 images, 1.0" not in capsys.readouterr().err


def test_a_file_and_a_method_become_a_predictor(folder: Path, made: list) -> None:
    assert run(folder, "--model", "model.onnx", "--references", "good", "--tiles", "auto", "--batch_size", "2") == 0
    assert made == [
        {"model": "model.onnx", "references": "good", "tiles": "auto", "batch_size": 2, "precision": "32-true"}
    ]
    made.clear()
    words = ("--model", "CoPS", "--model.backbone", "tiny", "--model.weights", "w.safetensors", "--tiles", "3x2")
    assert run(folder, *words) == 0
    expected = {"model": "CoPS", "backbone": "tiny", "weights": "w.safetensors", "tiles": "3x2", "batch_size": 1}
    expected["precision"] = "32-true"
    assert made == [expected]


def test_an_empty_text_is_not_the_working_folder(folder: Path, made: list) -> None:
    assert run(folder, "--model", "w.safetensors", "--references", "") == 0
    assert made == [
        {"model": "w.safetensors", "references": "", "batch_size": 1, "precision": "32-true"}
    ]  # which Predictor refuses


def test_arguments_may_come_from_a_file_and_weights_from_a_checkpoint(folder: Path, made: list) -> None:
    (folder.parent / "score.yaml").write_text("model:\n  class_path: CoPS\n  init_args:\n    seed: 3\nbatch_size: 2\n")
    (folder.parent / "model.ckpt").touch()
    words = ("--config", str(folder.parent / "score.yaml"), "--ckpt_path", str(folder.parent / "model.ckpt"))
    assert run(folder, *words) == 0
    assert made == [
        {
            "model": "CoPS",
            "seed": 3,
            "weights": str(folder.parent / "model.ckpt"),
            "batch_size": 2,
            "precision": "32-true",
        }
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "--model is missing"),
        (("--model", "model.onnx", "--output", "scores.txt"), "has to end in one of .parquet, .csv, .jsonl"),
        (("--model", "model.onnx", "--workers", "-1"), "--workers -1 has to be 0 or more"),
        (("--model", "model.onnx", "--batch_size", "0"), "--batch_size 0 has to be 1 or more"),
        (("--model", "model.onnx", "--max_pixels", "0"), "--max_pixels 0 has to be 1 or more"),
        (("--model", "model.onnx", "--tiles", "many"), "tiles"),
        (("--model", "model.onnx", "--pictures", ""), "--pictures is an empty text"),
        (("--model", "Padim"), "Padim is none of the models of anomalib-cops"),
        (("--model", "CoPS", "--model.references", "prototypes"), "--model.references cannot be given here"),
    ],
)
def test_bad_arguments_are_sentences(
    folder: Path, made: list, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    assert run(folder, *words) == 2
    assert sentence in capsys.readouterr().err
    assert not made


def test_ctrl_c_keeps_the_rows(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    class Interrupted(FakePredictor):
        def __call__(self, images: Any) -> Any:
            if len(self.calls) == 2:
                raise KeyboardInterrupt
            return super().__call__(images)

    output = folder.parent / "scores.parquet"
    monkeypatch.setattr(command, "make_predictor", lambda *_, **__: Interrupted())
    assert run(folder, "--model", "m.onnx", "--output", str(output)) == 130
    assert "Interrupted; the same command goes on" in capsys.readouterr().out
    monkeypatch.setattr(command, "make_predictor", lambda *_, **__: FakePredictor())
    assert run(folder, "--model", "m.onnx", "--output", str(output)) == 0
    assert "3 images, 1 of them new" in capsys.readouterr().out


def test_scoring_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['anomalib-cops', 'score', '--model', 'x.onnx', '--help']\n"
        "import anomalib_cops.scoring.command, anomalib_cops.command as command\n"
        "try: command.main()\nexcept SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'anomalib', 'lightning', 'pandas', 'rich', 'pyarrow', 'fsspec', 'ray', 'cv2', 'scipy'}\n"
        "assert not heavy & {name.partition('.')[0] for name in sys.modules}, heavy & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "--retry_errors" in run.stdout
