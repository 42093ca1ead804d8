"""Test that files appear complete or not at all, and that errors are one sentence."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from anomalib_cops.errors import InputError
from benchmark import files
from benchmark.run.command import execute
from tests.benchmark.fake import schedule


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 300 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_one_sentence_and_the_old_file_stays(small_disk):
    path = small_disk / "file"
    files.write_text(path, "old")
    with pytest.raises(InputError, match="disk is full.*run the same command again"):
        files.write_bytes(path, b"x" * 1_000_000)
    assert path.read_text() == "old"
    assert [each.name for each in small_disk.iterdir()] == ["file"]


def test_a_run_on_a_full_disk_goes_on_when_there_is_room(small_disk):
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 200_000)
    with pytest.raises(InputError, match="disk is full"):
        schedule(small_disk / "results").run()
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    assert schedule(small_disk / "results").run().failures == []


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EIO, "could not be written")]
)
def test_what_the_system_refuses_is_one_sentence(tmp_path, monkeypatch, code, words):
    path = tmp_path / "file"
    files.write_text(path, "old")

    def refuse(handle):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(InputError, match=words):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_read_only_folder_is_found_out_before_anything_runs(tmp_path):
    if os.geteuid() == 0:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", tmp_path], capture_output=True)
        if mounted.returncode:
            pytest.skip("the superuser may write everywhere, and no file system can be mounted here")
    else:
        tmp_path.chmod(0o500)
    try:
        run = schedule(tmp_path / "results")
        with pytest.raises(InputError, match="read-only"):
            run.run()
        assert run.runner.surveyed == []
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", tmp_path], check=True)
        else:
            tmp_path.chmod(0o700)


def test_ctrl_c_waits_for_the_end_of_a_write(tmp_path, monkeypatch):
    sync = os.fsync

    def interrupted(handle):
        os.kill(os.getpid(), signal.SIGINT)
        sync(handle)

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_text(tmp_path / "file", "whole")
    assert (tmp_path / "file").read_text() == "whole"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_scheduling_imports_neither_torch_nor_anomalib():
    code = "import sys, tests.benchmark.fake; print(sorted({'torch', 'anomalib', 'pandas'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_success_says_where_tables_come_from(tmp_path, capsys):
    assert execute(schedule(tmp_path / "results")) == 0
    assert f"table --results {tmp_path / 'results'}" in capsys.readouterr().out
