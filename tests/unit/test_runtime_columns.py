"""Tables with pictures in them: Parquet and Arrow, plain bytes and Hugging Face's struct."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from assay.errors import ConfigError, ImageError
from assay.runtime.columns import ColumnFile


@pytest.fixture
def table(photos):
    files = sorted(photos.rglob("*.png"))[:5]
    data = [file.read_bytes() for file in files]
    return pa.table(
        {
            "id": [f"p{i}" for i in range(5)],
            "image": pa.array([{"bytes": one, "path": None} for one in data]),
            "label": list(range(5)),
        }
    )


def write(table, path):
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=2)
    elif path.suffix == ".feather":
        feather.write_feather(table, path)
    elif path.suffix == ".arrow":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    else:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    return path


@pytest.mark.parametrize("ending", ["parquet", "arrow", "arrows", "feather"])
def test_rows_are_pictures(cli, tiny_bundle, table, tmp_path, ending):
    path = write(table, tmp_path / f"a.{ending}")
    done = cli("predict", tiny_bundle, path)
    assert (done.code, done.err) == (0, "")
    assert [line.split("  ")[0] for line in done.out.splitlines()] == [f"{path}#{i}" for i in range(5)]
    named = cli("predict", tiny_bundle, path, "--key", "id")
    assert [line.split("  ")[0] for line in named.out.splitlines()] == [f"{path}/p{i}" for i in range(5)]


def test_plain_bytes_and_empty_cells(table, tmp_path):
    flat = pa.table({"picture": pa.array([b"x", None, b"y"], pa.large_binary())})
    path = write(flat, tmp_path / "a.parquet")
    first, second, third = ColumnFile(str(path))
    assert (first.read(), third.read()) == (b"x", b"y")
    with pytest.raises(ImageError, match="#1 is empty"):
        second.read()
    assert ColumnFile(str(path)).count() == 3


def test_which_column(table, tmp_path):
    two = table.append_column("thumb", pa.array([b""] * 5))
    path = str(write(two, tmp_path / "a.parquet"))
    with pytest.raises(ConfigError, match="several columns that may hold pictures") as told:
        list(ColumnFile(path))
    assert told.value.got == "image, thumb"
    assert len(list(ColumnFile(path, "image"))) == 5
    with pytest.raises(ConfigError, match="no column 'imag'") as told:
        list(ColumnFile(path, "imag"))
    assert "image" in told.value.fix
    with pytest.raises(ConfigError, match="no column 'ids'"):
        list(ColumnFile(path, "image", "ids"))
    none = str(write(table.select(["label"]), tmp_path / "b.parquet"))
    with pytest.raises(ConfigError, match="no column that may hold pictures"):
        list(ColumnFile(none))


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_no_table_at_all(cli, tiny_bundle, tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"PAR1 nothing of the kind")
    done = cli("predict", tiny_bundle, path)
    assert done.code == 2
    assert f"{path} cannot be read" in done.err


def test_a_table_without_rows(table, tmp_path):
    path = write(table.slice(0, 0), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match="there are no pictures in") as told:
        list(ColumnFile(str(path)))
    assert told.value.got == "a table without rows"


def test_a_table_that_is_damaged_further_on_gives_what_came_before(table, tmp_path):
    import os

    cells = pa.array([os.urandom(500) for _ in range(130)], pa.binary())
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": cells}), path, row_group_size=64, use_dictionary=False)
    column = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset : column.data_page_offset + 40] = b"\xff" * 40
    path.write_bytes(data)
    *whole, last = ColumnFile(str(path))
    assert len(whole) == 64
    assert last.name == f"{path}#..."
    with pytest.raises(ImageError, match="is damaged from row 64 on"):
        last.read()


def test_a_path_that_is_no_unicode_beside_the_bytes_is_nobody_s_business(tmp_path):
    names = pa.array([b"\xff.png", None]).view(pa.string())
    cells = pa.StructArray.from_arrays([pa.array([b"x", None]), names], ["bytes", "path"])
    path = write(pa.table({"image": cells}), tmp_path / "a.arrow")
    first, second = ColumnFile(str(path))
    assert first.read() == b"x"
    with pytest.raises(ImageError, match="#1 is empty"):
        second.read()


def test_a_missing_column_is_told_before_anything_is_read(table, tmp_path):
    from assay.runtime.containers import pictures

    path = write(table, tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match="no column 'imag'"):
        pictures(path, column="imag")
