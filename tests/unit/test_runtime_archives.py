"""Archives: pictures by name and in order, nothing unpacked, and every fault one picture's own."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile

import pytest

from assay.errors import ConfigError, ImageError
from assay.photos import name_of
from assay.runtime import archives
from assay.runtime.archives import walk_tar, walk_zip
from assay.runtime.containers import pictures


@pytest.fixture
def picture(photos):
    return (photos / "circle" / "0.png").read_bytes()


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_tar(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


MAKERS = {"a.zip": (make_zip, walk_zip), "a.tar.gz": (make_tar, walk_tar), "a.tar": (make_tar, walk_tar)}


@pytest.mark.parametrize("name", MAKERS)
def test_pictures_are_found_and_litter_is_not(tmp_path, picture, name):
    make, walk = MAKERS[name]
    members = {
        "b/2.png": picture,
        "b/10.png": picture,
        "__MACOSX/b/2.png": b"",
        "readme.txt": b"",
        "b/.x.png": b"",
    }
    path = make(tmp_path / name, members)
    found = list(walk(path))
    assert [photo.name for photo in found] == [f"{path}/b/2.png", f"{path}/b/10.png"]
    assert [photo.read() for photo in found[-1:]] == [picture]


def test_a_zip_is_walked_in_natural_order(tmp_path, picture):
    path = make_zip(tmp_path / "a.zip", {"10.png": picture, "9.png": picture})
    assert [photo.name[-6:] for photo in walk_zip(path)] == ["/9.png", "10.png"]


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("member", ["../../out.png", "/etc/out.png", "C:\\out.png", "a\\..\\..\\out.png"])
def test_names_that_lead_out_are_refused_one_by_one(tmp_path, picture, name, member):
    make, walk = MAKERS[name]
    found = list(walk(make(tmp_path / name, {"in.png": picture, member: picture})))
    (sound,) = [photo for photo in found if photo.name.endswith("/in.png")]
    (climbing,) = [photo for photo in found if photo is not sound]
    assert sound.read() == picture
    with pytest.raises(ImageError, match="leads out of the archive"):
        climbing.read()


@pytest.mark.parametrize("name", MAKERS)
def test_an_archive_without_pictures(tmp_path, name):
    make, walk = MAKERS[name]
    with pytest.raises(ConfigError, match="there are no pictures in") as told:
        list(walk(make(tmp_path / name, {"readme.txt": b"no"})))
    assert told.value.got == "1 other members"


@pytest.mark.parametrize("name", MAKERS)
def test_no_archive_at_all(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ConfigError, match="cannot be opened"):
        list(MAKERS[name][1](path))


def test_a_cut_off_tar_gives_what_came_before(tmp_path):
    path = make_tar(tmp_path / "a.tar", {f"{i}.png": os.urandom(4000) for i in range(5)}, "w")
    path.write_bytes(path.read_bytes()[:12_000])
    *whole, last = walk_tar(path)
    assert [photo.name[-6:] for photo in whole] == ["/0.png", "/1.png"]
    with pytest.raises(ImageError, match="is damaged or cut off from here on"):
        last.read()


@pytest.mark.parametrize("cut", ["damaged header", "at a boundary"])
def test_a_damaged_header_is_no_end(tmp_path, cut):
    path = make_tar(tmp_path / "a.tar", {f"{i}.png": os.urandom(1000) for i in range(5)}, "w")
    data = bytearray(path.read_bytes())
    second = 512 + 1024
    if cut == "damaged header":
        data[second + 100 : second + 160] = b"x" * 60
    path.write_bytes(data if cut == "damaged header" else data[: 2 * second])
    *whole, last = walk_tar(path)
    assert len(whole) == (1 if cut == "damaged header" else 2)
    with pytest.raises(ImageError, match="is damaged or cut off from here on"):
        last.read()


def test_damaged_and_encrypted_members_of_a_zip(tmp_path, picture):
    path = make_zip(tmp_path / "a.zip", {"1.png": picture, "2.png": picture})
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    at = data.rfind(b"PK\x01\x02")
    data[at + 8] |= 1  # says that the last member is encrypted
    path.write_bytes(data)
    first, second = walk_zip(path)
    with pytest.raises(ImageError, match=r"1\.png cannot be read"):
        first.read()
    with pytest.raises(ImageError, match=r"2\.png is encrypted"):
        second.read()


@pytest.mark.parametrize("name", MAKERS)
def test_a_bomb_is_not_believed(tmp_path, monkeypatch, name):
    from assay.image import ImageLimits

    monkeypatch.setattr(archives, "DEFAULT_LIMITS", ImageLimits(max_bytes=1000))
    make, walk = MAKERS[name]
    (photo,) = walk(make(tmp_path / name, {"1.png": bytes(2_000_000)}))
    with pytest.raises(ImageError, match="is too large a file"):
        photo.read()


def test_they_are_answered_like_files(cli, tiny_bundle, photos, tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(photos.rglob("*.png")):
            archive.write(file, file.relative_to(photos))
    inside = cli("predict", tiny_bundle, path)
    outside = cli("predict", tiny_bundle, photos)
    assert (inside.code, inside.err) == (0, "")
    assert inside.out == outside.out.replace(str(photos), str(path))
    out = tmp_path / "copies"
    assert cli("predict", tiny_bundle, path, "--out", out, "--quiet").out == ""
    assert (out / "photos.zip" / "circle" / "0.png.jpg").is_file()


def test_names_of_rows_and_files_never_lead_out_of_the_folder(cli, tiny_bundle, photos, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = (photos / "circle" / "0.png").read_bytes()
    place = tmp_path / "deep" / "t.parquet"
    place.parent.mkdir()
    pq.write_table(pa.table({"image": [data, data], "id": ["../../../away.jpg", "/etc/away.jpg"]}), place)
    out = tmp_path / "deep" / "copies"
    done = cli("predict", tiny_bundle, place, "--key", "id", "--out", out, "--quiet")
    assert done.code == 0
    assert not list(tmp_path.glob("*.jpg")) + list(place.parent.glob("*.jpg"))
    assert [path.name for path in out.rglob("*.jpg")] == ["away.jpg"] * 2


def test_a_picture_or_an_archive_on_standard_input(tmp_path, picture):
    class Piped(io.BufferedReader):
        def __init__(self, data):
            super().__init__(io.BytesIO(data))

    (photo,) = pictures("-", stdin=Piped(picture))
    assert (photo.name, photo.read(), photo.read()) == ("stdin", picture, picture)
    packed = make_tar(tmp_path / "a.tar", {"1.png": picture}, "w").read_bytes()
    (photo,) = pictures("-", stdin=Piped(packed))
    assert (photo.name, photo.read()) == ("stdin/1.png", picture)
    assert list(pictures("-", stdin=Piped(b"a.png\nb.png\n"))) == ["a.png", "b.png"]


BAD = {
    "empty.zip": (lambda path: make_zip(path, {}), "there are no pictures in"),
    "notes.tar": (lambda path: make_tar(path, {"a.txt": b"no"}, "w"), "there are no pictures in"),
    "x.tar.gz": (lambda path: path.write_bytes(b"nothing of the kind"), "cannot be opened"),
    "x.parquet": (lambda path: path.write_bytes(b"PAR1 nothing"), "cannot be read"),
    "x.arrow": (lambda path: path.write_bytes(b""), "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_container_is_one_error_and_the_walk_goes_on(cli, tiny_bundle, tmp_path, photos, name):
    path, (make, words) = tmp_path / name, BAD[name]
    make(path)
    first, last = photos / "circle" / "0.png", photos / "square" / "0.png"
    found = list(pictures([first, path, last]))
    assert [name_of(one) for one in found] == [str(first), str(path), str(last)]
    with pytest.raises(ImageError, match=words):
        found[1].read()
    done = cli("predict", tiny_bundle, first, path, last)
    assert done.code == 1
    assert len(done.out.splitlines()) == 2
    assert words in done.err
    alone = cli("predict", tiny_bundle, path)
    assert alone.code == 2
    assert words in alone.err


def test_lines_of_a_list_are_opened_as_named_things_are(tmp_path, picture):
    make_zip(tmp_path / "a.zip", {"1.png": picture, "2.png": picture})
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nothing")
    names = [str(tmp_path / name) for name in ("a.zip", "b.parquet", "c.png")]
    listed = list(pictures("-", stdin=io.BytesIO("\n".join(names).encode())))
    assert [name_of(one) for one in listed] == [f"{names[0]}/1.png", f"{names[0]}/2.png", *names[1:]]
    assert listed[1].read() == picture
    with pytest.raises(ImageError, match=r"b\.parquet cannot be read"):
        listed[2].read()


def test_a_bad_archive_on_standard_input(tmp_path, picture):
    data = make_tar(tmp_path / "a.tar", {"a.txt": b"no"}, "w").read_bytes()
    with pytest.raises(ConfigError, match="there are no pictures in stdin"):
        list(pictures("-", stdin=io.BytesIO(data)))
    (tmp_path / "b.png").write_bytes(picture)
    bad, other = pictures(["-", tmp_path / "b.png"], stdin=io.BytesIO(data))
    assert (bad.name, other) == ("stdin", str(tmp_path / "b.png"))


def test_a_single_file_is_named_without_pyarrow(tmp_path, picture):
    import subprocess
    import sys

    (tmp_path / "a.png").write_bytes(picture)
    code = "import sys; from assay.runtime.containers import pictures; pictures(sys.argv[1]); "
    code += "assert 'pyarrow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=True)
