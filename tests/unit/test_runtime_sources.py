from __future__ import annotations

import io
import os

import pytest

from assay.errors import ConfigError, ImageError
from assay.photos import name_of
from assay.runtime.containers import pictures
from assay.runtime.sources import Pictures


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Empty files: sources are told by names alone."""
    monkeypatch.chdir(tmp_path)
    names = (
        *("photos/10.jpg", "photos/2.JPG", "photos/b/1.png", "photos/a/ä 3.webp", "photos/notes.txt"),
        *("photos/.hidden.jpg", "photos/.git/x.jpg", "photos/__MACOSX/._2.jpg", "raw.dat"),
    )
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_folder_is_walked_in_natural_order(folder):
    pictures = Pictures(["photos"])
    expected = ["photos/2.JPG", "photos/10.jpg", "photos/a/ä 3.webp", "photos/b/1.png"]
    assert list(pictures) == expected
    assert list(pictures) == expected  # again
    assert pictures.count() == 4


def test_order_is_that_of_the_names_given(folder):
    assert list(Pictures(["photos/b", "raw.dat", "photos/2.JPG"])) == [
        "photos/b/1.png",
        "raw.dat",
        "photos/2.JPG",
    ]


def test_one_name_alone(folder):
    assert list(Pictures("photos/b")) == ["photos/b/1.png"]
    assert list(Pictures(folder / "photos" / "b")) == [str(folder / "photos" / "b" / "1.png")]


def test_patterns(folder):
    assert list(Pictures(["photos/*.jpg"])) == ["photos/10.jpg"]
    assert list(Pictures(["photos/**/*.png"])) == ["photos/b/1.png"]
    assert list(Pictures(["photos/[ab]"])) == ["photos/a/ä 3.webp", "photos/b/1.png"]
    assert "photos/notes.txt" in list(Pictures(["photos/**"]))  # named, so tried


def test_a_file_with_brackets_is_a_file(folder):
    (folder / "x[1].jpg").touch()
    assert list(Pictures(["x[1].jpg"])) == ["x[1].jpg"]


def test_a_list_on_stdin(folder):
    lines = io.BytesIO(b"photos/2.JPG\r\n\nmissing.jpg\n")
    pictures = Pictures(["raw.dat", "-"], stdin=lines)
    assert pictures.count() is None
    assert list(pictures) == ["raw.dat", "photos/2.JPG", "missing.jpg"]
    assert list(Pictures("-", stdin=io.BytesIO(b"a\nb.jpg\0c.jpg\0".replace(b"\n", b" ")))) == [
        "a b.jpg",
        "c.jpg",
    ]


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_no_unicode(folder):
    name = os.fsdecode(b"\xff.jpg")
    (folder / "photos" / "b" / name).touch()
    assert f"photos/b/{name}" in list(Pictures("photos/b"))
    assert list(Pictures("-", stdin=io.BytesIO(b"\xff.jpg\n"))) == [name]


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ([], "no pictures are named"),
        (["nothing.jpg"], "there is no picture or folder nothing.jpg"),
        (["photos/*.bmp"], "nothing matches photos/*.bmp"),
        (["-", "-"], "- is named twice"),
        (["a\0b"], "there is no picture or folder"),
        ([""], "there is no picture or folder"),
        (["photos", "nothing"], "there is no picture or folder nothing"),
    ],
)
def test_wrong_names_are_told_at_once(folder, names, what):
    with pytest.raises(ConfigError) as told:
        Pictures(names)
    assert what in told.value.what
    assert told.value.fix


def test_a_folder_without_pictures(folder):
    (folder / "empty").mkdir()
    with pytest.raises(ConfigError, match="there are no pictures in empty") as told:
        Pictures(["empty"])
    assert told.value.got == "an empty folder"
    (folder / "empty" / "notes.txt").touch()
    with pytest.raises(ConfigError) as told:
        Pictures(["empty"])
    assert told.value.got == "1 other files"


def test_a_link_in_a_circle_ends(folder):
    (folder / "photos" / "a" / "up").symlink_to(folder / "photos")
    assert Pictures("photos").count() == 4


def test_a_linked_folder_is_followed(folder):
    (folder / "linked").symlink_to(folder / "photos" / "b")
    assert list(Pictures("linked")) == ["linked/1.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_refused_or_passed_over(folder):
    os.mkfifo(folder / "photos" / "pipe.jpg")
    assert "photos/pipe.jpg" not in list(Pictures("photos"))
    with pytest.raises(ConfigError, match="no regular file"):
        Pictures("photos/pipe.jpg")


def lock(monkeypatch, folder):
    """As a folder that this user may not look into; root may look into any."""
    scan = os.scandir

    def scandir(path):
        if str(path).endswith(folder):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_folder_that_cannot_be_read_is_one_error_and_the_walk_goes_on(folder, monkeypatch):
    lock(monkeypatch, "photos/a")
    found = list(pictures("photos"))
    assert [name_of(one) for one in found] == ["photos/2.JPG", "photos/10.jpg", "photos/a", "photos/b/1.png"]
    with pytest.raises(ImageError, match="the folder photos/a cannot be read") as told:
        found[2].read()
    assert told.value.got == "Permission denied"
    assert pictures("photos").count() == 4
    with pytest.raises(ConfigError, match="the folder photos/a cannot be read"):
        list(Pictures("photos"))  # who opens no containers takes paths alone
    with pytest.raises(ConfigError, match="the folder photos/a cannot be read"):
        pictures("photos/a")


def test_a_link_to_itself_is_one_error_and_the_walk_goes_on(folder):
    (folder / "photos" / "3.jpg").symlink_to(folder / "photos" / "3.jpg")
    (folder / "photos" / ".3.jpg").symlink_to(folder / "photos" / ".3.jpg")
    (folder / "photos" / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    found = list(pictures("photos"))
    assert [name_of(one) for one in found][:3] == ["photos/2.JPG", "photos/3.jpg", "photos/10.jpg"]
    assert len(found) == 5
    with pytest.raises(ImageError, match=r"photos/3\.jpg cannot be read"):
        found[1].read()
    with pytest.raises(ConfigError, match=r"photos/3\.jpg cannot be read"):
        list(Pictures("photos"))


def test_a_name_that_the_system_refuses_is_a_picture_that_cannot_be_read(folder):
    long = "x" * 5000
    listed = io.BytesIO(f"{long}/1.jpg\nraw.dat\n".encode())
    assert list(pictures("-", stdin=listed)) == [f"{long}/1.jpg", "raw.dat"]
    with pytest.raises(ConfigError, match="there is no picture or folder"):
        pictures(f"{long}/1.jpg")
