from __future__ import annotations

import errno
import io
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import assay
from assay.bundle import FORMAT, Card, load_bundle, pack_bundle, save_bundle, unpack_bundle
from assay.configs import ModelConfig, PreprocessConfig
from assay.errors import AssayError, BundleError, ConfigError
from assay.labels import ClassNames


@pytest.fixture
def card():
    return Card(
        ClassNames(["boot", "größer 三角"]),
        PreprocessConfig(size=32, resize="letterbox"),
        {**ModelConfig(model="cnn").to_dict(), "channels": 3},
        temperature=1.25,
        name="shoes",
        metrics={"test": {"metrics": {"accuracy": {"value": 0.9}}}},
    )


@pytest.fixture
def data(card):
    return pack_bundle(card, {"network.onnx": b"graph", "LICENSE": b"Apache-2.0"})


def resealed(body: bytes) -> bytes:
    """What somebody gets who changes a Bundle and computes a fitting checksum."""
    import hashlib

    return body + hashlib.sha256(body).hexdigest().encode()


def archive(entries, compression=zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in entries:
            file.writestr(name, content)
        file.comment = b"0" * 64
    return resealed(buffer.getvalue()[:-64])


def test_card_and_members_come_back(card, tmp_path):
    path = tmp_path / "deep" / "shoes.bundle"
    save_bundle(path, card, {"network.onnx": b"graph", "LICENSE": b"text"})
    bundle = load_bundle(path)
    assert bundle.card == card
    assert list(bundle.members) == ["card.json", "network.onnx", "LICENSE"]
    assert bundle.member("network.onnx") == b"graph"
    assert len(bundle.digest) == 64
    assert [file.name for file in path.parent.iterdir()] == ["shoes.bundle"]


def test_same_content_gives_same_bytes(card):
    members = {"network.onnx": b"graph", "LICENSE": b"text"}
    backwards = dict(reversed(members.items()))
    assert pack_bundle(card, members) == pack_bundle(card, backwards)


def test_every_flipped_byte_is_noticed(data):
    for position in range(len(data)):
        broken = bytearray(data)
        broken[position] ^= 0x20
        with pytest.raises(BundleError):
            unpack_bundle(bytes(broken))


def test_every_shorter_file_is_noticed(data):
    for length in range(len(data)):
        with pytest.raises(BundleError):
            unpack_bundle(data[:length])
    with pytest.raises(BundleError, match="cut short or damaged"):
        unpack_bundle(data + b"\n")


def test_a_changed_byte_is_named_as_damage(data, tmp_path):
    path = tmp_path / "x.bundle"
    path.write_bytes(data.replace(b"graph", b"grapf"))
    with pytest.raises(
        BundleError, match=r"x\.bundle: the Bundle is damaged: its checksum does not fit"
    ) as told:
        load_bundle(path)
    assert "copy it again" in told.value.fix


@pytest.mark.parametrize(
    ("content", "got"), [(b"", "an empty file"), (b"hello world", "begins with b'hello wo'")]
)
def test_other_files_are_no_bundle(tmp_path, content, got):
    path = tmp_path / "x.bundle"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="this is no Bundle") as told:
        load_bundle(path)
    assert got in told.value.got


def test_missing_paths_and_folders_are_the_request(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no Bundle .*nothing\.bundle"):
        load_bundle(tmp_path / "nothing.bundle")
    with pytest.raises(ConfigError, match="is a folder, not a Bundle"):
        load_bundle(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(ConfigError, match="is a run folder, not a Bundle") as told:
        assay.load(tmp_path / "run")
    assert f"assay export {tmp_path / 'run'} --out run.bundle" in told.value.fix


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="no regular file"):
        load_bundle(tmp_path / "pipe")


def test_a_newer_format_says_update(card, tmp_path):
    values = {**card.to_dict(), "format": FORMAT + 1, "something new": 3}
    entries = [("card.json", json.dumps(values)), ("network.quantum", b"?")]
    with pytest.raises(BundleError, match="written by a newer Assay") as told:
        unpack_bundle(archive(entries))
    assert f"format {FORMAT + 1}; this program reads up to {FORMAT}" in told.value.got
    assert "update assay" in told.value.fix


def test_members_outside_of_the_list_are_refused(card):
    with pytest.raises(BundleError, match=r"may not hold 'model\.pkl'"):
        pack_bundle(card, {"model.pkl": b""})
    for name in ("model.pkl", "../card.json", "network.onnx/", "/etc/passwd"):
        with pytest.raises(BundleError, match="may not hold"):
            unpack_bundle(archive([("card.json", card.to_json()), (name, b"x")]))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice_is_refused(card):
    for name in ("network.onnx", "card.json"):
        entries = [("card.json", card.to_json()), ("network.onnx", b"a"), (name, b"b")]
        with pytest.raises(BundleError, match=r"names a member twice|without card\.json"):
            unpack_bundle(archive(entries))


def test_compressed_members_are_refused(card):
    bomb = [("card.json", card.to_json()), ("network.onnx", bytes(1_000_000))]
    with pytest.raises(BundleError):
        unpack_bundle(archive(bomb, zipfile.ZIP_DEFLATED))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("card.json", card.to_json())
        file.writestr("network.onnx", bytes(1_000_000), zipfile.ZIP_DEFLATED)
        file.comment = b"0" * 64
    with pytest.raises(BundleError, match=r"network\.onnx is not valid") as told:
        unpack_bundle(resealed(buffer.getvalue()[:-64]))
    assert "compressed" in told.value.got


def test_sizes_beyond_the_file_are_refused(data):
    """A directory entry that claims more bytes than there are."""
    body = bytearray(data[:-64])
    entry = body.index(b"PK\x01\x02")
    entry = body.index(b"PK\x01\x02", entry + 4)  # network.onnx, the second member
    body[entry + 20 : entry + 28] = (2**30).to_bytes(4, "little") * 2
    with pytest.raises(BundleError, match="larger than the file"):
        unpack_bundle(resealed(bytes(body)))


def test_an_archive_without_card_is_no_bundle():
    with pytest.raises(BundleError, match="this is no Bundle") as told:
        unpack_bundle(archive([("network.onnx", b"x")]))
    assert "card.json" in told.value.got


def test_too_large_members_are_refused(card):
    with pytest.raises(BundleError, match=r"golden\.safetensors is too large") as told:
        pack_bundle(card, {"golden.safetensors": bytes(64 * 1024 * 1024 + 1)})
    assert "at most 67,108,864" in told.value.got


def test_a_missing_member_is_named(data):
    with pytest.raises(BundleError, match=r"has no network\.safetensors") as told:
        unpack_bundle(data).member("network.safetensors")
    assert "network.onnx" in told.value.got


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_full_disk_leaves_the_earlier_file(card, data, tmp_path, monkeypatch, number, at):
    def full(*_args, **_kw):
        raise OSError(number, "no space")

    path = tmp_path / "x.bundle"
    path.write_bytes(data)
    monkeypatch.setattr("os.fsync" if at == "fsync" else "pathlib.Path.replace", full)
    with pytest.raises(AssayError, match="could not be written") as told:
        save_bundle(path, replace(card, name="other"), {})
    assert told.value.got == "the disk is full"
    assert "free some space" in told.value.fix
    assert path.read_bytes() == data
    assert [file.name for file in tmp_path.iterdir()] == ["x.bundle"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_while_writing(card, tmp_path, monkeypatch):
    whole = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: whole(Path("/dev/full"), mode))
    with pytest.raises(AssayError, match="could not be written") as told:
        save_bundle(tmp_path / "x.bundle", card, {"network.onnx": bytes(1_000_000)})
    assert told.value.got == "the disk is full"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_as_target_is_the_request(card, tmp_path):
    with pytest.raises(ConfigError, match="is a folder"):
        save_bundle(tmp_path, card, {})


def test_a_link_stays_a_link(card, tmp_path):
    save_bundle(tmp_path / "v1.bundle", card, {})
    (tmp_path / "current.bundle").symlink_to("v1.bundle")
    save_bundle(tmp_path / "current.bundle", replace(card, name="new"), {})
    assert (tmp_path / "current.bundle").is_symlink()
    assert load_bundle(tmp_path / "v1.bundle").card.name == "new"


# ---- the card


def test_card_file_comes_back(card, tmp_path):
    card.save(tmp_path / "card.json")
    assert Card.load(tmp_path / "card.json") == card


def test_undefined_numbers_become_null(card):
    odd = replace(
        card, metrics={"auroc": float("nan"), "n": np.int64(3), "list": (np.float32(0.5), float("inf"))}
    )
    assert Card.from_json(odd.to_json()).metrics == {"auroc": None, "n": 3, "list": [0.5, None]}


@pytest.mark.parametrize("name", list(Card.__dataclass_fields__))
def test_every_field_is_needed(card, name):
    values = card.to_dict()
    del values[name]
    with pytest.raises(BundleError, match="the card") as told:
        Card.from_dict(values)
    assert "is missing" in told.value.got or name == "format"


BAD = [
    ({"temprature": 1.0}, "unknown field 'temprature' (did you mean temperature?)"),
    ({"temperature": 0}, "temperature is 0; it is a number above 0"),
    ({"temperature": float("nan")}, "it is a number above 0"),
    ({"temperature": "1"}, "temperature is '1'"),
    ({"temperature": True}, "temperature is True"),
    ({"task": "detect"}, "task is 'detect'; this program knows classify"),
    ({"task": ["classify"]}, "task is"),
    ({"classes": []}, "classes is no list of names"),
    ({"classes": "abc"}, "classes is no list of names"),
    ({"classes": [1]}, "classes is no list of names"),
    ({"classes": ["a", "a"]}, "class names occur twice: a"),
    ({"classes": ["a", ""]}, "a class name is empty"),
    ({"metrics": None}, "metrics is no object"),
    ({"name": 3}, "name is no text"),
    ({"preprocess": []}, "preprocess is no object"),
    ({"model": {"channels": 3}}, "model.model is missing"),
    ({"model": {"model": "cnn", "channels": 1}}, "model.channels is 1, but preprocessing to rgb gives 3"),
    ({"model": {"model": "cnn", "channels": 3, "wdith": 2}}, "unknown field model.wdith (did you mean width"),
    ({"model": {"model": 5, "channels": 3}}, "model.model is 5"),
]


@pytest.mark.parametrize(("change", "got"), BAD)
def test_wrong_values_are_told(card, change, got):
    with pytest.raises(BundleError, match="the card is not valid") as told:
        Card.from_dict({**card.to_dict(), **change})
    assert got in told.value.got


@pytest.mark.parametrize(
    ("change", "got"),
    [
        ({"size": "160"}, "preprocess.size is '160'"),
        ({"size": 160.5}, "preprocess.size is 160.5"),
        ({"size": True}, "preprocess.size is True"),
        ({"size": 1_000_000}, "size is 1000000; the most is 4096"),
        ({"mean": [0.5, float("inf"), 0.5]}, "preprocess.mean is"),
        ({"mean": [0.5, 0.5]}, "preprocess.mean has 2 numbers"),
        ({"std": [0.0]}, "std is 0.0"),
        ({"resize": "squeeze"}, "resize is 'squeeze'"),
        ({"colour": None}, "preprocess.colour is None"),
        ({"gamma": 2}, "unknown field preprocess.gamma"),
    ],
)
def test_wrong_preprocessing_is_told(card, change, got):
    values = card.to_dict()
    values["preprocess"] = {**values["preprocess"], **change}
    with pytest.raises(BundleError, match="the card is not valid") as told:
        Card.from_dict(values)
    assert got in told.value.got


def test_preprocessing_takes_no_defaults(card):
    """A default that changes later must not change what an old Bundle does."""
    values = card.to_dict()
    del values["preprocess"]["interpolation"]
    with pytest.raises(BundleError) as told:
        Card.from_dict(values)
    assert "preprocess.interpolation is missing" in told.value.got


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[1]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format": 1, "format": 1}',
        b'{"format": NaN}',
        b'{"format": true}',
        b'{"format": ' + b"9" * 5000 + b"}",
        b'{"format": 0}',
        b'{"format": "1"}',
    ],
)
def test_broken_json_is_told(text):
    with pytest.raises(BundleError):
        Card.from_json(text)


def test_the_file_of_a_card_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"card\.json cannot be read"):
        Card.load(tmp_path / "card.json")
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(BundleError, match=r"card\.json: the card is not valid JSON"):
        Card.load(tmp_path / "card.json")


@pytest.mark.parametrize(
    ("thresholds", "told"),
    [
        ({"abstain": {}}, "unknown field thresholds.abstain"),
        ({"abstention": 3}, "thresholds.abstention is no object"),
        ([], "thresholds is no object"),
    ],
)
def test_thresholds_that_this_program_does_not_know(card, thresholds, told):
    with pytest.raises(BundleError, match="the card is not valid") as error:
        Card.from_dict({**card.to_dict(), "thresholds": thresholds})
    assert told in error.value.got


def test_thresholds_travel_with_their_member(card):
    held = replace(card, thresholds={"abstention": {"format": 1}})
    bundle = unpack_bundle(pack_bundle(held, {"network.onnx": b"graph", "abstention.safetensors": b"x"}))
    assert bundle.card.thresholds == {"abstention": {"format": 1}}
    assert bundle.member("abstention.safetensors") == b"x"
