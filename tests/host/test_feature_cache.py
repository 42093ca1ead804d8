"""The store of frozen features: what is read is what was computed, whatever happens to files and processes."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import seed_everything
from torch import Tensor
from torchvision.transforms.v2 import RandomHorizontalFlip

from anomalib_cops import VCPCLIP, AdaCLIP, AnomalyCLIP, CoPS
from anomalib_cops.encoder import FrozenCLIP, ImageFeatures, ImageTokens
from anomalib_cops.errors import InputError
from anomalib_cops.host.feature_cache import CacheOptions, FeatureCache
from tests.models.cases import SIDE, encoder
from tests.models.runs import engine, transfer


class Encoder:
    """Features that tell which image they are of; remembers how many it made."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.made = 0

    def __call__(self, images: Tensor) -> ImageFeatures:
        self.made += len(images)
        rows = images.flatten(1)[:, :6] * self.scale
        return ImageFeatures(cls=rows[:, :2], patches=rows.unflatten(1, (3, 2)).expand(2, -1, -1, -1))


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    files = [tmp_path / f"{name}.png" for name in "abc"]
    for file in files:
        file.write_bytes(file.name.encode())
    return [str(file) for file in files]


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def open_cache(tmp_path: Path) -> Callable[..., FeatureCache]:
    def make(
        encode: Encoder, identity: str = "", kind: Any = ImageFeatures, expected: Any = (), **options: Any
    ) -> FeatureCache:
        return FeatureCache(
            CacheOptions(str(tmp_path / "features"), **{"cache_max_gb": 0.01, **options}),
            encode,
            kind,
            identity,
            expected,
        )

    return make


def assert_equal(ours: Any, theirs: Any) -> None:
    assert torch.equal(ours.cls, theirs.cls) and torch.equal(ours.patches, theirs.patches)


@pytest.mark.parametrize(("precision", "rounding"), [("float16", 1e-3), ("float32", 0)])
def test_features_are_made_once_and_come_back_in_any_order(
    open_cache: Callable[..., FeatureCache], images: Tensor, paths: list[str], precision: str, rounding: float
) -> None:
    encode = Encoder()
    cache = open_cache(encode, cache_precision=precision, kind=ImageTokens)
    first = cache(images[:2], paths[:2])
    assert isinstance(first, ImageTokens) and first.cls.dtype == torch.float32
    torch.testing.assert_close(first.cls, Encoder()(images[:2]).cls, atol=rounding, rtol=rounding)
    turned = cache(images.flip(0), paths[::-1])
    assert encode.made == 3
    assert torch.equal(turned.cls.flip(0)[:2], first.cls)
    again = open_cache(encode, cache_precision=precision)(images, paths)
    assert encode.made == 3
    assert torch.equal(again.patches.flip(1), turned.patches)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("autocast", [False, True])
def test_features_come_in_the_models_precision_also_under_autocast(
    tmp_path: Path, images: Tensor, paths: list[str], dtype: torch.dtype, autocast: bool
) -> None:
    options = CacheOptions(str(tmp_path / "features"), 0.01)
    cache = FeatureCache(options, Encoder(), ImageFeatures, "", dtype=dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = [cache(images, paths) for _ in range(2)]
    for features in found:
        assert features.cls.dtype == features.patches.dtype == dtype
        assert torch.equal(features.cls, Encoder()(images).cls.half().to(dtype))


def test_the_folder_may_be_in_the_users_home_and_empty_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert CoPS(backbone="tiny", feature_cache="~/features").cache_options.folder == "/home/someone/features"
    for method in (CoPS, AdaCLIP):
        assert not method(backbone="tiny", feature_cache="").cache_options.feature_cache


def test_a_file_that_was_written_to_is_encoded_anew(
    open_cache: Callable[..., FeatureCache], images: Tensor, paths: list[str]
) -> None:
    encode = Encoder()
    cache = open_cache(encode)
    cache(images, paths)
    Path(paths[1]).write_bytes(b"another picture")
    cache(images, paths)
    assert encode.made == 4


def test_encoders_and_precisions_do_not_share_entries(
    open_cache: Callable[..., FeatureCache], images: Tensor, paths: list[str]
) -> None:
    encode = Encoder()
    for identity, precision in (("a", "float16"), ("b", "float16"), ("a", "float32")):
        cache = open_cache(encode, identity, cache_precision=precision)
        cache(images, paths)
    assert encode.made == 9


def test_the_digest_tells_weights_sizes_and_activations_apart() -> None:
    plain, other = encoder(), encoder()
    with torch.no_grad():
        other.visual.transformer.resblocks[3].ln_2.bias[5] += 1e-6
    digests = [FrozenCLIP(clip, side).image.digest() for clip, side in ((plain, SIDE), (other, SIDE), (plain, 48))]
    assert len(set(digests)) == 3
    assert FrozenCLIP(encoder(), SIDE).image.digest() == digests[0]


def test_killed_writers_leave_whole_entries_and_two_write_at_once(
    open_cache: Callable[..., FeatureCache], tmp_path: Path
) -> None:
    files = [tmp_path / f"{number}.png" for number in range(400)]
    for file in files:
        file.touch()
    pictures = torch.randn(400, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    reading, writing = os.pipe()

    def write_until_killed() -> int:
        child = os.fork()
        if child:
            return child
        try:
            cache = open_cache(Encoder(), cache_max_gb=0.1)
            for number in range(400):
                cache(pictures[number : number + 1], [str(files[number])])
                os.write(writing, b".")
        finally:
            os._exit(0)

    children = [write_until_killed() for _ in range(2)]
    for _ in range(60):
        os.read(reading, 1)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    encode = Encoder()
    found = open_cache(encode, cache_max_gb=0.1)(pictures, [str(file) for file in files])
    assert 0 < encode.made < 400
    assert torch.equal(found.cls, Encoder()(pictures).cls.half().float())


def test_a_cache_that_is_too_small_is_refused_before_anything_is_encoded(
    open_cache: Callable[..., FeatureCache], images: Tensor, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = Encoder()
    crowd = [f"synthetic/64px-seed0/leather/good/{index:06d}.png" for index in range(50000)]
    with pytest.raises(InputError, match="features of 50000 images need 0.0142 GB .* cache_max_gb=0.01 leaves"):
        open_cache(encode, expected=crowd)(images, paths)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(InputError, match="the disk has 1e-07; make room"):
        open_cache(encode, expected=paths)(images, paths)


def test_a_full_cache_says_so(open_cache: Callable[..., FeatureCache], images: Tensor, paths: list[str]) -> None:
    with pytest.raises(InputError, match="has reached cache_max_gb=1e-07"):
        open_cache(Encoder(), cache_max_gb=1e-7)(images, paths)


def test_features_beyond_half_precision_name_the_image(
    open_cache: Callable[..., FeatureCache], images: Tensor, paths: list[str]
) -> None:
    with pytest.raises(InputError, match="a.png do not fit float16; set cache_precision=float32"):
        open_cache(Encoder(1e6))(images, paths)


def test_a_cache_without_room_is_refused() -> None:
    with pytest.raises(InputError, match="cache_max_gb=0.0 must be more than 0"):
        CacheOptions("features", cache_max_gb=0.0)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file cannot be used"):
        FeatureCache(CacheOptions(str(tmp_path / "file")), Encoder(), ImageFeatures, "")


@pytest.mark.parametrize("method", [CoPS, AnomalyCLIP, VCPCLIP])
def test_training_with_a_cache_is_training(method: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses, encoded = [], []
    for folder in (None, "features", "features"):
        seed_everything(3)
        model = method(backbone="tiny", visualizer=False, feature_cache=folder and str(tmp_path / folder))
        count, encode = [0], model.model.encode

        def counted(images: Tensor, count: list[int] = count, encode: Any = encode) -> Any:
            count[0] += len(images)
            return encode(images)

        monkeypatch.setattr(model.model, "encode", counted)
        run = engine(tmp_path / "run", max_epochs=2)
        run.fit(model, datamodule=transfer())
        losses.append(float(run.trainer.callback_metrics["train_loss"]))
        encoded.append(count[0])
        assert model.feature_cache is None, "the files stay open"
    images = len(transfer().samples.query("split != 'test'"))
    assert encoded == [2 * images, images, 0]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert losses[2] == losses[1]


def test_augmented_images_and_changing_features_are_refused(tmp_path: Path) -> None:
    model = CoPS(backbone="tiny", visualizer=False, feature_cache=str(tmp_path / "features"))
    with pytest.raises(InputError, match="Augmented images are new in every epoch"):
        engine(tmp_path, max_epochs=1).fit(model, datamodule=transfer(train_augmentations=RandomHorizontalFlip()))
    with pytest.raises(InputError, match="AdaCLIP puts prompts into the image tower"):
        AdaCLIP(backbone="tiny", feature_cache=str(tmp_path / "features"))
