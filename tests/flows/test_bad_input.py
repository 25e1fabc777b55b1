"""Whatever is wrong with the request or the data: one message that says what, got and fix, and nothing half-written."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = ("epochs=1", "model=cnn", "width=8", "depth=2", "size=32", "precision=fp32", "baselines=no")


def table(folder: Path, photos: Path, rows: list[dict[str, str]]) -> Path:
    path = folder / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def rows_of(photos: Path) -> list[dict[str, str]]:
    return [{"path": str(p), "label": p.parent.name, "part": "train"} for p in sorted(photos.rglob("*.png"))]


def missing_folder(photos: Path, tmp: Path) -> Path:
    return tmp / "absent"


def no_picture(photos: Path, tmp: Path) -> Path:
    (tmp / "empty" / "a").mkdir(parents=True)
    return tmp / "empty"


def one_class(photos: Path, tmp: Path) -> Path:
    for name in ("circle", "square"):
        shutil.rmtree(photos / name)
    return photos


def one_picture(photos: Path, tmp: Path) -> Path:
    for path in sorted(photos.rglob("*.png"))[1:]:
        path.unlink()
    return photos


def broken_picture(photos: Path, tmp: Path) -> Path:
    (photos / "circle" / "0.png").write_bytes(b"no picture at all")
    return photos


def wrong_column(photos: Path, tmp: Path) -> Path:
    rows = [{"path": row["path"], "lable": row["label"]} for row in rows_of(photos)]
    return table(tmp, photos, rows)


def label_absent_in_training(photos: Path, tmp: Path) -> Path:
    rows = rows_of(photos)
    for row in rows:
        if row["label"] == "circle":
            row["part"] = "test"
    return table(tmp, photos, rows)


def unknown_part(photos: Path, tmp: Path) -> Path:
    rows = rows_of(photos)
    rows[3]["part"] = "trane"
    return table(tmp, photos, rows)


@pytest.mark.parametrize(
    ("make", "code", "told"),
    [
        (missing_folder, 2, "absent does not exist"),
        (no_picture, 1, "no picture"),
        (one_class, 1, "one class"),
        (one_picture, 1, "one"),
        (broken_picture, 1, "0.png"),
        (wrong_column, (1, 2), "lable"),
        (label_absent_in_training, 1, "circle"),
        (unknown_part, 1, "trane"),
    ],
)
def test_bad_data_is_one_message_and_leaves_nothing(
    photos: Path, tmp_path: Path, cli: Callable[..., Any], make: Any, code: Any, told: str
) -> None:
    outcome = cli("train", make(photos, tmp_path), "--out", tmp_path / "run", *QUICK)
    assert outcome.code in (code if isinstance(code, tuple) else (code,)), outcome.err
    assert told in outcome.err
    assert "Traceback" not in outcome.err
    assert "bug in assay" not in outcome.err
    assert not (tmp_path / "run").exists()


def test_weights_that_fit_nowhere(photos: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"somebody.weight": torch.ones(3, 3)}, str(tmp_path / "w.safetensors"))
    outcome = cli("train", photos, "--out", tmp_path / "run", f"weights={tmp_path / 'w.safetensors'}", *QUICK)
    assert outcome.code == 1
    assert "somebody.weight" in outcome.err
    assert not (tmp_path / "run").exists()


def test_an_empty_class_is_named(photos: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    (photos / "hexagon").mkdir()
    assert "hexagon" in cli("check", photos).out
