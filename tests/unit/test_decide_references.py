"""Enrolled photos: found by bytes, by prints, by embedding; added, moved, removed; one whole file."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from PIL import Image
from tests.unit.test_decide_prints import drawn

from assay.decide.match import Match
from assay.decide.overlay import MOST_APART
from assay.decide.prints import Prints, prints_of
from assay.decide.reference import Reference
from assay.decide.references import References, read_references
from assay.errors import AssayError, PolicyError


def photo(seed):
    return f"{seed:064x}"


def filled(n=6, **told):
    found = References()
    for seed in range(n):
        found.add(Reference(photo(seed), told.get("name", "fake"), "bag"), prints_of(drawn(seed=seed)))
    return found


def changed(seed):
    """Mirrored, cropped and darker."""
    return prints_of((drawn(seed=seed)[6:, ::-1][:, 9:] * 0.6).astype(np.uint8))


def test_the_same_bytes_and_the_same_photo():
    known = filled()
    assert len(known) == 6
    assert known.match(photo(3)) == (Match("fake", "exact", photo(3), "bag"),)
    (match,) = known.match("a" * 64, changed(3))
    assert (match.list, match.way, match.reference, match.item) == ("fake", "near", photo(3), "bag")
    assert 0 < match.distance <= MOST_APART
    assert known.match("a" * 64, changed(17)) == ()
    assert References().match("a" * 64, changed(3), np.ones(4)) == ()


def test_an_enrolled_photo_may_be_a_part_of_the_new_one():
    known = References()
    known.add(Reference(photo(1), "fake"), prints_of(drawn(seed=1)[12:, :-14]))
    (match,) = known.match("a" * 64, prints_of(drawn(seed=1)))
    assert match.reference == photo(1)


def test_an_exact_match_is_not_told_twice_but_a_second_photo_is():
    known = filled(2)
    known.add(Reference(photo(50), "genuine"), changed(1))
    found = known.match(photo(1), prints_of(drawn(seed=1)))
    assert [(one.list, one.way, one.reference) for one in found] == [
        ("fake", "exact", photo(1)),
        ("genuine", "near", photo(50)),
    ]


def test_a_flat_photo_is_known_by_its_bytes_alone():
    known = References()
    flat = Prints(np.full((128, 128), 200, np.uint8))
    assert known.add(Reference(photo(1), "fake"), flat)
    assert known.match(photo(1), flat) == (Match("fake", "exact", photo(1)),)
    assert known.match(photo(2), flat) == ()


def test_the_last_word_on_a_photo_holds():
    known = filled(3)
    one = Reference(photo(1), "fake", "bag")
    assert not known.add(one, prints_of(drawn(seed=1)))
    assert known.add(Reference(photo(1), "genuine"), prints_of(drawn(seed=1)))
    assert known.get(photo(1)) == Reference(photo(1), "genuine")
    (match,) = known.match("a" * 64, changed(1))
    assert match.list == "genuine"
    assert known.remove(photo(1))
    assert not known.remove(photo(1))
    assert known.match("a" * 64, changed(1)) == ()
    assert [one.photo for one in known] == [photo(0), photo(2)]
    with pytest.raises(PolicyError, match="did you mean genuine"):
        known.add(Reference(photo(9), "genuin"), changed(1))


def test_embeddings_of_an_item():
    rng = np.random.default_rng(0)
    known = References("network fp32")
    near = np.eye(4)[0] + 0.1 * rng.normal(0, 1, (9, 4))
    for i, point in enumerate(near):
        known.add(Reference(photo(i), "genuine", "bag"), prints_of(drawn(seed=i)), point)
    known.add(Reference(photo(90), "genuine", "shoe"), prints_of(drawn(seed=90)), np.eye(4)[1])
    (match,) = known.match("a" * 64, None, np.eye(4)[1], "bag")
    assert (match.list, match.way, match.among, match.p) == ("genuine", "embedding", 9, 0.1)
    (usual,) = known.match("a" * 64, None, near.mean(axis=0), "bag")
    assert usual.p > 0.5
    assert known.match("a" * 64, None, np.eye(4)[1], "shoe") == ()  # one reference says nothing
    (all_,) = known.match("a" * 64, None, np.eye(4)[1])
    assert all_.p == 1.0
    known.add(Reference(photo(91), "fake", "bag"), prints_of(drawn(seed=91)), np.eye(4)[1])
    fake, genuine = known.match("a" * 64, None, np.eye(4)[1] + 0.01, "bag")
    assert (fake.list, fake.reference, fake.p) == ("fake", photo(91), 0.1)
    assert genuine.list == "genuine"
    known.remove(photo(91))
    assert len(known.match("a" * 64, None, np.eye(4)[1], "bag")) == 1
    with pytest.raises(PolicyError, match="two networks"):
        known.add(Reference(photo(92), "fake", "bag"), prints_of(drawn(seed=92)), np.ones(7))


def test_a_file_gives_back_what_was_enrolled(tmp_path):
    known = filled()
    known.network = "digest fp32"
    known.add(Reference(photo(40), "genuine", "größer 三角"), prints_of(drawn(seed=40)), [1.0, 2.0])
    known.remove(photo(2))
    place = tmp_path / "deep" / "known.references"
    known.save(place)
    again = read_references(place)
    assert list(again) == list(known)
    assert again.network == "digest fp32"
    assert again.match("a" * 64, changed(3)) == known.match("a" * 64, changed(3))
    assert again.match("a" * 64, changed(2)) == ()
    again.save(tmp_path / "second")
    assert (tmp_path / "second").read_bytes() == place.read_bytes()
    References().save(place)
    assert len(read_references(place)) == 0


def test_every_changed_byte_is_noticed(tmp_path):
    known = filled(1)
    place = tmp_path / "known.references"
    known.save(place)
    whole = place.read_bytes()
    rng = np.random.default_rng(0)
    places = [0, 8, 20, len(whole) - 1, *rng.integers(0, len(whole), 60)]
    for at in places:
        place.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(PolicyError, match=r"known\.references"):
            read_references(place)
    for cut in (0, 5, 9, 300, len(whole) // 2, len(whole) - 1):
        place.write_bytes(whole[:cut])
        with pytest.raises(PolicyError):
            read_references(place)
    with pytest.raises(PolicyError, match="enrol photos first"):
        read_references(tmp_path / "none")


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    known = filled(1)
    place = tmp_path / "known.references"
    known.save(place)
    before = place.read_bytes()
    known.add(Reference(photo(7), "fake"), prints_of(drawn(seed=7)))

    def full(*words):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(AssayError, match="the disk is full"):
        known.save(place)
    assert place.read_bytes() == before


def test_many_threads_may_ask_while_one_enrols():
    known, faults = filled(2), []
    made = {seed: prints_of(drawn(60, 80, seed=seed)) for seed in range(100, 130)}
    asked_for = changed(1)
    done = threading.Event()

    def ask():
        try:
            while not done.is_set():
                found = known.match("a" * 64, asked_for)
                assert [match.reference for match in found] == [photo(1)]
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for seed, prints in made.items():
        known.add(Reference(photo(seed), "fake"), prints)
        if seed % 3 == 0:
            known.remove(photo(seed))
    done.set()
    for thread in threads:
        thread.join()
    assert not faults
    assert len(known) == 22


def test_records_of_matches_are_checked():
    match = Match("fake", "near", "a" * 64, None, 0.1)
    assert Match.from_dict(match.to_dict()) == match
    for told in ({}, {"list": "x", "way": "near", "reference": "a"}, {**match.to_dict(), "more": 1},
                 {**match.to_dict(), "distance": -1}, {**match.to_dict(), "reference": 3}):  # fmt: skip
        with pytest.raises(PolicyError, match="cannot be read"):
            Match.from_dict(told)


def test_prints_of_bytes_are_those_of_the_decoded_photo(tmp_path):
    from assay.errors import ImageError
    from assay.image import encode_image
    from assay.runtime.photo_prints import photo_prints, picture_prints

    pixels = np.stack([drawn(600, 900)] * 3, axis=2)
    png, large = encode_image(pixels), encode_image(pixels, "JPEG", 95)
    whole = picture_prints(Image.fromarray(pixels)).frames[0].astype(float)
    assert np.abs(photo_prints(png).frames[0] - whole).max() <= 1
    assert np.abs(photo_prints(large).frames[0] - whole).mean() < 2  # decoded at a half
    with pytest.raises(ImageError):
        photo_prints(b"nothing")
