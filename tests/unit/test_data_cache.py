"""The Arrow cache of large tables: used, keyed by what matters, whole or not there."""

from __future__ import annotations

import os

import pytest

from assay.configs import ReadConfig
from assay.data import arrow_cache
from assay.data.read import read_dataset
from assay.data.write import write_dataset
from assay.errors import AssayError, DatasetError


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setattr(arrow_cache, "LARGE_BYTES", 100)
    path = tmp_path / "large.csv"
    path.write_text("path,label,other\n" + "".join(f"{i}.jpg,c{i % 7},d{i % 3}\n" for i in range(500)))
    return path


def cached(folder):
    return sorted((folder / "tables").glob("*")) if (folder / "tables").exists() else []


def test_a_large_table_is_mapped_and_read_once(table, own_cache, monkeypatch):
    first = read_dataset(table)
    assert [p.suffix for p in cached(own_cache)] == [".arrow"]
    monkeypatch.setattr(arrow_cache, "save_batches", None)
    again = read_dataset(table)
    assert again.split_hash == first.split_hash
    assert list(again.classes) == list(first.classes)
    assert again[499].extra == {"other": "d1"}


def test_a_changed_table_or_option_is_read_anew(table, own_cache):
    read_dataset(table)
    assert len(read_dataset(table, ReadConfig(label_column="other")).classes) == 3
    text = table.read_text().replace("c6", "cx")
    table.write_text(text)
    os.utime(table, ns=(1, 1))
    assert "cx" in read_dataset(table).classes
    assert len(cached(own_cache)) == 3


def test_small_tables_leave_no_trace(tmp_path, own_cache):
    (tmp_path / "small.csv").write_text("path,label\na,x\n")
    read_dataset(tmp_path / "small.csv")
    assert cached(own_cache) == []


def test_parquet_goes_the_same_way(table, tmp_path, own_cache):
    write_dataset(read_dataset(table), tmp_path / "large.parquet")
    assert read_dataset(tmp_path / "large.parquet").split_hash == read_dataset(table).split_hash
    assert len(cached(own_cache)) == 2


def test_a_broken_table_leaves_nothing_in_the_cache(table, own_cache):
    table.write_text(table.read_text() + "one cell\n")
    for _ in range(2):
        with pytest.raises(DatasetError, match="more or fewer cells"):
            read_dataset(table)
    assert cached(own_cache) == []


def test_a_cache_folder_that_cannot_be_made_is_told(table, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "file"))
    with pytest.raises(AssayError, match="could not be written"):
        read_dataset(table)


def test_the_oldest_tables_make_room(table, own_cache, monkeypatch):
    read_dataset(table)
    (old,) = cached(own_cache)
    os.utime(old, (1, 1))
    monkeypatch.setattr(arrow_cache, "_KEEP_BYTES", 1)
    read_dataset(table, ReadConfig(label_column="other"))
    assert old not in cached(own_cache)
    assert len(cached(own_cache)) == 1
