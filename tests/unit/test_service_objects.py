"""Photos in a folder: whole or not there, flushed before they are told kept, also by who finds another one's."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from assay.service.objects import Folder, ObjectMissingError, StoreError, open_objects

DIGEST, DATA = "ab" * 32, b"the bytes of a photo"


def names(folder: Path) -> list[str]:
    return [one.name for one in folder.rglob("*") if one.is_file()]


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The last parts of the paths that were flushed."""
    found: list[str] = []
    flush = os.fsync

    def fsync(handle: int) -> None:
        found.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        flush(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_a_photo_and_its_name_are_flushed_each_time(tmp_path: Path, flushed: list[str]) -> None:
    folder = Folder(tmp_path / "photos")
    flushed.clear()
    folder.put(DIGEST, DATA)
    (file, first) = flushed
    assert file.endswith(".part")  # before it has its name
    assert first == "ab"
    folder.put(DIGEST, DATA)  # the name of another one's may not be on the disk yet
    assert flushed[2:] == ["ab"]
    assert names(tmp_path) == [DIGEST]
    assert folder.has(DIGEST)
    assert folder.get(DIGEST) == DATA
    folder.delete(DIGEST)
    folder.delete(DIGEST)
    assert not folder.has(DIGEST)
    with pytest.raises(ObjectMissingError, match="bytes are gone"):
        folder.get(DIGEST)


@pytest.mark.parametrize("fails_at", ["write", "flush"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str) -> None:
    folder = Folder(tmp_path / "photos")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync" if fails_at == "flush" else "replace", full)
        with pytest.raises(StoreError, match="could not be kept") as told:
            folder.put(DIGEST, DATA)
    assert told.value.got == "No space left on device"
    assert names(tmp_path) == []
    folder.put(DIGEST, DATA)
    assert folder.get(DIGEST) == DATA


def test_only_the_own_folder_is_near(tmp_path: Path) -> None:
    assert open_objects(None, tmp_path).is_near
    assert not open_objects(str(tmp_path / "mounted"), tmp_path).is_near
