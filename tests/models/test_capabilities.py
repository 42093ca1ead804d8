"""Test every cell of the table of capabilities in docs/models.md."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from anomalib_cops.data.synthetic import draw
from anomalib_cops.errors import InputError
from anomalib_cops.registry import MODELS
from tests.models.runs import Trained, predict
from tests.models.verbs import VERBS, Subject
from tools.capabilities import OTHERWISE, ROWS, cell


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for index in range(3):
        Image.fromarray(draw("carpet", index, anomalous=index > 0, size=120).image).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def subject(trained: Trained, exported: Callable[[str], Path], images: Path) -> Subject:
    return Subject(trained, next(trained.folder.rglob("*.safetensors")), exported, images)


@pytest.fixture(scope="session")
def scores(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    """Return the scores of the trained model itself, before anything was written or read."""
    batches = predict(subject.trained.model, tmp_path_factory.mktemp("scores"), subject.images)
    return torch.cat([batch.pred_score for batch in batches])


def test_every_row_is_done() -> None:
    assert set(VERBS) == set(ROWS)
    assert {name for name, _ in OTHERWISE} <= set(MODELS) and {row for _, row in OTHERWISE} <= set(ROWS)


# Ignore warnings that anomalib, Lightning and exporters give about themselves.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("row", ROWS)
def test_the_cell_is_what_the_table_says(
    subject: Subject, scores: torch.Tensor, row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUST_REMOTE_CODE", "1")  # for anomalib's reader of torch exports
    expected, verb = cell(subject.trained.name, row), VERBS[row]
    if expected.refusal:
        with pytest.raises(InputError) as caught:
            verb(subject, tmp_path / "refused", {})
        assert expected.refusal in str(caught.value)
    if not expected.works:
        return
    found = verb(subject, tmp_path, expected.settings)
    if expected.within is not None:
        wanted = subject.scores(tmp_path, **expected.settings) if expected.settings else scores
        assert found is not None
        torch.testing.assert_close(found, wanted, atol=expected.within, rtol=0)
