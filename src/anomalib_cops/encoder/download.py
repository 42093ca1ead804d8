"""Find the weight file of a pretrained tag: in the caches, else by a download that fails fast without a network."""

import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import constants as hub
from huggingface_hub import try_to_load_from_cache
from open_clip.pretrained import download_pretrained_from_hf, download_pretrained_from_url

from anomalib_cops.encoder.tags import entry_of, tags_of
from anomalib_cops.errors import InputError
from anomalib_cops.network import unreachable

HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin", "pytorch_model.bin", "model.safetensors")
"""File names that open_clip looks for in a hub repository, in this order, and that of timm's repositories."""


def weight_file(backbone: str, tag: str, cache_dir: str | None = None) -> Path:
    """Return the path of the weights of a pretrained tag; open_clip downloads and verifies them if they are not cached.

    Args:
        backbone: model name of open_clip, or of timm for an image tower alone.
        tag: one of its pretrained tags.
        cache_dir: folder to look in and to keep files in; the usual cache folders if not given.

    Raises:
        InputError: the tag is unknown, no server answers within seconds, or the download fails.
    """
    config = _entry(backbone, tag)
    cached = _cached_in_hub(config, cache_dir)
    if cached is not None:
        return cached
    archive = _cached_by_url(config, cache_dir)
    if archive is None and (problem := _unreachable(config)):
        raise InputError(_missing(backbone, tag, config, cache_dir, problem))
    repository, file = _hub_repository(config)
    try:
        if repository and archive is None:
            return Path(download_pretrained_from_hf(repository, filename=file, cache_dir=cache_dir))
        if archive is None:
            return _download_whole(config["url"], _url_cache(cache_dir))
        # open_clip compares the digest of the cached file before it returns its path.
        return Path(download_pretrained_from_url(config["url"], cache_dir=cache_dir))
    except Exception as error:
        raise InputError(
            f"The weights '{tag}' of backbone '{backbone}' could not be fetched ({_first_line(error)}); "
            "try again, or give a local file as pretrained=/path/to/file."
        ) from None


def is_cached(backbone: str, tag: str, cache_dir: str | None = None) -> bool:
    """Return whether the weights are in a cache, so that :func:`weight_file` needs no network.

    Raises:
        InputError: the tag is unknown.
    """
    config = _entry(backbone, tag)
    return (_cached_in_hub(config, cache_dir) or _cached_by_url(config, cache_dir)) is not None


def _entry(backbone: str, tag: str) -> dict:
    """Return the entry of a tag.

    Raises:
        InputError: the tag is unknown; the message lists the known ones.
    """
    config = entry_of(backbone, tag)
    if not config:
        known = ", ".join(tags_of(backbone)) or "none"
        raise InputError(
            f"pretrained='{tag}' is neither a file nor a tag of backbone '{backbone}'; known tags: {known}."
        )
    return config


def _hub_repository(config: dict) -> tuple[str, str | None]:
    """Return the hub repository of an entry, empty if it has none, and the file in it, if the entry names one."""
    repository, _, file = config.get("hf_hub", "").rpartition("/")
    return repository, file or None


def _cached_in_hub(config: dict, cache_dir: str | None) -> Path | None:
    repository, file = _hub_repository(config)
    if not repository:
        return None
    for name in (file,) if file else HUB_FILES:
        found = try_to_load_from_cache(repository, name, cache_dir=cache_dir)
        if isinstance(found, str):
            return Path(found)
    return None


def _cached_by_url(config: dict, cache_dir: str | None) -> Path | None:
    url = config.get("url", "")
    if not url:
        return None
    path = _url_cache(cache_dir) / url.rsplit("/", 1)[-1]
    return path if path.is_file() else None


def _url_cache(cache_dir: str | None) -> Path:
    return Path(cache_dir) if cache_dir else Path.home() / ".cache" / "clip"


def _download_whole(url: str, folder: Path) -> Path:
    """Download into a folder of its own, check and move: without a digest, open_clip accepts half a file as whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as unfinished:
        path = Path(download_pretrained_from_url(url, cache_dir=unfinished))
        # The list of an archive's contents is at its end, so half a file has none.
        if not zipfile.is_zipfile(path):
            raise OSError("what came is no whole archive")
        return path.rename(folder / path.name)


def hub_problem() -> str:
    """Return why nothing can be downloaded from the hub, as the end of a sentence; empty if it can."""
    return _problem_of(hub.ENDPOINT)


def _unreachable(config: dict) -> str:
    """Return why the weights of an entry cannot be downloaded, as the end of a sentence; empty if they can."""
    repository, _ = _hub_repository(config)
    return hub_problem() if repository else _problem_of(config["url"])


def _problem_of(address: str) -> str:
    if hub.HF_HUB_OFFLINE:
        return "nothing is downloaded, as HF_HUB_OFFLINE is set"
    problem = unreachable(address)
    return problem and f"{address} {problem}"


def _missing(backbone: str, tag: str, config: dict, cache_dir: str | None, problem: str) -> str:
    repository, _ = _hub_repository(config)
    folder = (cache_dir or hub.HF_HUB_CACHE) if repository else _url_cache(cache_dir)
    return (
        f"The weights '{tag}' of backbone '{backbone}' are not in the cache folder {folder} and {problem}: connect "
        "once, give a local file as pretrained=/path/to/file (an OpenAI .pt archive, open_clip .bin/.pt or "
        ".safetensors), or use backbone='tiny', which works offline."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
