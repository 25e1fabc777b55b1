"""Splits: kept, carved, dealt; stable, grouped, close to the wished shares, in constant memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.configs import SplitConfig
from assay.data.deal import Shares, deal, hash_keys
from assay.data.groups import groups_from_pattern
from assay.data.split import count_classes, split_dataset
from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.types import Dataset

GOLDEN_A, GOLDEN_CAFE = 0x40F89E395B66422F, 0x5777A2BD3192D7E3
GOLDEN_DEAL = [0, 2, 1, 2, 1, 2, 0, 1, 2, 1, 2, 1]
"""If these change, every split that was not written down changes."""


def dataset(n=600, classes=4, part=None, groups=None, several=False):
    columns = {"path": [f"p/{i:06d}.jpg" for i in range(n)], "label": [f"c{i % classes}" for i in range(n)]}
    if several:
        columns["labels"] = [[label, "c0"] for label in columns["label"]]
    if part:
        columns["part"] = [part[i % len(part)] for i in range(n)]
    if groups:
        columns["group"] = [groups(i) for i in range(n)]
    return Dataset(pa.table(columns), ClassNames(f"c{i}" for i in range(classes)), Path("/nowhere"))


def parts_by_path(data):
    return dict(zip(data.table["path"].to_pylist(), data.table["part"].to_pylist(), strict=True))


def test_parts_of_the_source_are_kept():
    data = split_dataset(dataset(part=["train", "train", "validation", "test"]))
    assert data.split["by"] == "source"
    assert data.split["counts"] == data.parts == {"train": 300, "validation": 150, "test": 150}
    assert data.split["notes"] == []


def test_validation_is_carved_out_of_train_and_test_is_untouched():
    before = dataset(part=["train", "train", "train", "test"])
    after = split_dataset(before)
    assert after.split["by"] == "source+hash"
    assert after.parts["test"] == 150
    assert after.parts["validation"] == pytest.approx(0.15 * 450, abs=8)
    for path, part in parts_by_path(before).items():
        assert (part == "test") == (parts_by_path(after)[path] == "test")
    assert split_dataset(after).parts == after.parts


def test_a_missing_test_part_stays_absent_and_is_told():
    data = split_dataset(dataset(part=["train", "validation"]))
    assert set(data.parts) == {"train", "validation"}
    assert data.split["notes"] == ["the source names no test part"]


def test_force_pools_everything():
    data = split_dataset(dataset(part=["train", "validation"]), force=True)
    assert data.split["by"] == "hash"
    assert set(data.parts) == {"train", "validation", "test"}


def test_rows_without_a_part_beside_others_are_an_error():
    with pytest.raises(DatasetError, match="300 rows of dataset have no part"):
        split_dataset(dataset(part=["train", None]))


def test_shares_that_leave_nothing():
    with pytest.raises(ConfigError, match="too little to train on"):
        split_dataset(dataset(), SplitConfig(validation=0.5, test=0.5))
    with pytest.raises(DatasetError, match="no pictures"):
        split_dataset(dataset(0))


def test_no_test_part_when_not_wished():
    assert set(split_dataset(dataset(), SplitConfig(test=0)).parts) == {"train", "validation"}


def test_every_class_comes_close_to_the_wished_shares():
    counts = count_classes(split_dataset(dataset(2000, 10)))
    shares = counts / counts.sum(axis=0)
    assert np.abs(shares - [[0.7], [0.15], [0.15]]).max() < 0.04


@pytest.mark.parametrize(("n", "classes"), [(8, 2), (30, 5), (40, 4)])
def test_small_sets_have_every_class_in_every_part(n, classes):
    data = split_dataset(dataset(n, classes))
    assert count_classes(data).min() >= 1
    assert not [w for w in data.split["warnings"] if "no picture" in w]


def test_classes_that_cannot_be_everywhere_are_told():
    data = split_dataset(dataset(40, 20))
    assert any("classes have no picture in" in warning for warning in data.split["warnings"])
    assert (count_classes(data)[0] > 0).sum() >= 19, "train comes first"


def test_several_labels_are_counted_each():
    counts = count_classes(split_dataset(dataset(600, 4, several=True)))
    assert counts.sum() == 1200
    assert counts[:, 0].sum() == 750
    assert counts.min() > 10


def test_a_class_beside_tags_counts_too():
    table = pa.table(
        {
            "path": ["a.jpg", "b.jpg", "c.jpg"],
            "label": ["cup", None, "dog"],
            "labels": [["red", "dog"], ["red"], ["dog"]],
            "part": ["train", "train", "test"],
        }
    )
    classes = ClassNames(["cup", "dog", "red"])
    assert count_classes(Dataset(table, classes, Path())).tolist() == [[1, 1, 2], [0, 0, 0], [0, 1, 0]]


def test_groups_are_never_torn_and_shares_stay_close():
    data = split_dataset(dataset(3000, 6, groups=lambda i: f"seller {i * i % 211}"))
    homes = {}
    for group, part in zip(data.table["group"].to_pylist(), data.table["part"].to_pylist(), strict=True):
        assert homes.setdefault(group, part) == part
    shares = count_classes(data) / 500
    assert np.abs(shares - [[0.7], [0.15], [0.15]]).max() < 0.09
    assert data.split["group_column"] == "group"


def test_groups_can_be_ignored_and_may_be_unknown():
    one = dataset(300, groups=lambda i: "all")
    assert set(split_dataset(one, SplitConfig(by_group=False)).parts) == {"train", "validation", "test"}
    assert len(split_dataset(one).parts) == 1
    assert "groups are large" in " ".join(split_dataset(one).split["warnings"])
    some = split_dataset(dataset(300, groups=lambda i: None if i % 2 else f"g{i % 20}"))
    assert set(some.parts) == {"train", "validation", "test"}


def test_the_salt_reproduces_the_split():
    first = split_dataset(dataset())
    again = split_dataset(dataset(), SplitConfig(salt=first.split["salt"]))
    assert again.split_hash == first.split_hash
    assert split_dataset(dataset()).split_hash == first.split_hash
    other = split_dataset(dataset(), SplitConfig(salt=first.split["salt"] + 1))
    assert other.split_hash != first.split_hash


def test_the_record_is_plain():
    record = split_dataset(dataset(groups=lambda i: str(i % 50))).split
    assert json.loads(json.dumps(record)) == record
    assert set(record) == {"by", "salt", "validation", "test", "group_column", "counts", "notes", "warnings"}


@settings(max_examples=40, deadline=None)
@given(
    old=st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=30),
    new=st.sets(st.text(min_size=1, max_size=8), max_size=30),
    salt=st.integers(0, 2**63),
    validation=st.floats(0, 0.45),
    test=st.floats(0, 0.45),
    seed=st.randoms(),
)
def test_adding_pictures_never_moves_an_old_one(old, new, salt, validation, test, seed):
    def split(paths):
        seed.shuffle(paths)
        table = pa.table({"path": paths, "label": ["x"] * len(paths)})
        config = SplitConfig(validation=validation, test=test, salt=salt)
        return parts_by_path(split_dataset(Dataset(table, ClassNames(["x"]), Path("/nowhere")), config))

    before, after = split(list(old)), split(list(old | new))
    assert {path: after[path] for path in old} == before


@settings(max_examples=25, deadline=None)
@given(salt=st.integers(0, 2**64), shares=st.tuples(st.floats(0, 0.4), st.floats(0, 0.4)))
def test_dealing_follows_the_shares(salt, shares):
    hashes = hash_keys(pa.array([str(i) for i in range(4000)]))
    counts = np.bincount(deal(hashes, salt, Shares(*shares)), minlength=3) / 4000
    assert np.abs(counts[1:] - shares).max() < 0.05


def test_more_validation_leaves_test_as_it_is():
    few, many = (split_dataset(dataset(), SplitConfig(validation=v, salt=3)) for v in (0.1, 0.3))
    tests = [{p for p, part in parts_by_path(d).items() if part == "test"} for d in (few, many)]
    assert tests[0] == tests[1]


def test_the_key_is_the_path_below_the_root():
    table = pa.table({"path": [f"/nowhere/p/{i:06d}.jpg" for i in range(600)], "label": ["c0"] * 600})
    absolute = split_dataset(Dataset(table, ClassNames(["c0"]), Path("/nowhere")), SplitConfig(salt=1))
    relative = split_dataset(dataset(), SplitConfig(salt=1))
    assert absolute.table["part"].to_pylist() == relative.table["part"].to_pylist()


def test_hashes_are_the_same_everywhere():
    assert hash_keys(pa.array(["a", "caf\u00e9", "cafe\u0301"])).tolist() == [
        GOLDEN_A,
        GOLDEN_CAFE,
        GOLDEN_CAFE,
    ]
    assert (
        deal(hash_keys(pa.array([f"{i}.jpg" for i in range(12)])), 5, Shares(0.25, 0.25)).tolist()
        == GOLDEN_DEAL
    )


def test_groups_from_the_file_name():
    data = groups_from_pattern(dataset(100), r"(\d\d)\.jpg")
    assert data[7].group == "07"
    assert split_dataset(data).split["group_column"] == r"path matched by (\d\d)\.jpg"
    with pytest.raises(ConfigError, match="not a regular expression"):
        groups_from_pattern(dataset(5), "(")
    with pytest.raises(DatasetError, match="matches no path"):
        groups_from_pattern(dataset(5), "zzz")


_MEMORY = """
import sys, time
from assay.data.read import read_dataset
from assay.data.split import split_dataset
def anonymous():
    text = open("/proc/self/status").read()
    return int(text.split("RssAnon:")[1].split()[0]) / 1024
def peak(path):
    import threading
    top, stop = [anonymous()], threading.Event()
    def watch():
        while not stop.wait(0.01):
            top[0] = max(top[0], anonymous())
    start, watcher = top[0], threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    data = read_dataset(path)
    opened = time.perf_counter() - began
    data = split_dataset(data)
    stop.set(); watcher.join()
    return len(data), top[0] - start, opened
split_dataset(read_dataset(sys.argv[1]))
print(*peak(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_million_rows_are_read_and_split_in_constant_memory(tmp_path):
    sizes = {}
    for n in (100, 1_000_000):
        with (tmp_path / f"{n}.csv").open("w") as file:
            file.write("path,label,group\n")
            file.writelines(
                f"photos/{i % 1000:04d}/{i:08d}.jpg,class {i % 97},seller {i % 5003}\n" for i in range(n)
            )
        sizes[n] = tmp_path / f"{n}.csv"
    out = subprocess.run(
        [sys.executable, "-c", _MEMORY, *map(str, sizes.values())], capture_output=True, text=True, check=True
    )
    rows, mib, seconds = out.stdout.split()
    assert int(rows) == 1_000_000
    # measured: 48 MiB for one million rows and for three; 119 MiB when the rows are held in memory
    assert float(mib) < 80
    assert float(seconds) < 5, "a million rows open in five seconds"
