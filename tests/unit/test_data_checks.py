"""The doctor: every fault is found, counted, named and explained, all at once."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from assay.data.checks import Problem, check_dataset, raise_problems
from assay.data.read import read_dataset
from assay.data.split import split_dataset
from assay.errors import DatasetError


@pytest.fixture
def shop(tmp_path):
    """A table over 12 good pictures; ``shop(rows, header)`` writes other rows over the same files."""
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")

    def write(rows, header="path,label"):
        (tmp_path / "t.csv").write_text("\n".join([header, *rows]) + "\n")
        return read_dataset(tmp_path / "t.csv")

    return write


GOOD = [f"{i}.png,{'xyz'[i % 3]}" for i in range(12)]


def found(data, **options):
    return {p.code: p for p in check_dataset(data, **options)}


def test_nothing_is_wrong_with_good_data(shop, photos):
    assert found(shop(GOOD), for_training=True) == {}
    assert found(split_dataset(read_dataset(photos)), for_training=True, decode=True) == {}


def test_missing_empty_and_unreadable_pictures(shop, tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "folder.png").mkdir()
    problems = found(shop([*GOOD, "no.png,x", "0.png/no,x", "empty.png,y", "text.jpg,z", "folder.png,z"]))
    assert problems["missing-file"].where == ("no.png", "0.png/no")
    assert str(problems["missing-file"]) == "2 pictures do not exist: no.png, 0.png/no"
    assert str(problems["empty-file"]) == "one picture is an empty file: empty.png"
    assert problems["unreadable"].count == 2
    assert problems["unreadable"].where[0].startswith("text.jpg (")
    assert all(p.level == "error" and p.fix for p in problems.values())


def test_a_picture_cut_short_is_found_by_decoding(shop, tmp_path):
    whole = (tmp_path / "0.png").read_bytes()
    (tmp_path / "0.png").write_bytes(whole[: len(whole) // 2])
    data = shop(GOOD)
    assert found(data) == {}
    assert found(data, decode=True)["unreadable"].where[0].startswith("0.png (")


def test_files_are_left_alone_when_not_wanted(shop):
    assert found(shop([*GOOD, "no.png,x"]), pictures=False) == {}


def test_one_path_listed_twice(shop):
    rows = [f"{row},train" for row in GOOD]
    data = shop([*rows, "0.png,x,train", "1.png,z,train", "2.png,z,test"], "path,label,part")
    problems = found(data)
    assert problems["path-twice"].level == "warning"
    assert set(problems["path-twice"].where) == {"0.png", "2.png"}
    assert (problems["path-two-labels"].level, problems["path-two-labels"].where) == ("error", ("1.png",))
    assert (problems["path-two-parts"].level, problems["path-two-parts"].where) == ("error", ("2.png",))


def test_the_same_bytes_under_two_labels_and_in_two_parts(shop, tmp_path):
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    (tmp_path / "again.png").write_bytes((tmp_path / "1.png").read_bytes())
    rows = [f"{row},train" for row in GOOD]
    problems = found(shop([*rows, "copy.png,z,train", "again.png,y,test"], "path,label,part"))
    assert problems["same-picture-two-labels"].where == ("0.png (x) = copy.png (z)",)
    assert problems["same-picture-two-parts"].where == ("1.png (train) = again.png (test)",)


def test_large_files_that_differ_in_the_middle_only_are_different(shop, tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    for name, value in (("a.bmp", 0), ("b.bmp", 1)):
        pixels[32, 32] = value
        Image.fromarray(pixels).save(tmp_path / name)
    assert found(shop([*GOOD, "a.bmp,x", "b.bmp,y"])) == {}


def test_groups_in_two_parts(shop):
    rows = [f"{row},{'train' if i < 9 else 'test'},s{i % 5}" for i, row in enumerate(GOOD)]
    problem = found(shop(rows, "path,label,part,group"))["torn-group"]
    assert (problem.level, problem.count, set(problem.where)) == ("warning", 3, {"s4", "s0", "s1"})
    assert "scores look better than they are" in str(problem)


def test_labels_absent_in_train(shop):
    rows = [f"{row},train" for row in GOOD] + ["0.png,shrit,validation", "1.png,shrit,test"]
    problem = found(shop(rows, "path,label,part"))["untaught-class"]
    assert (problem.level, problem.where) == ("error", ("shrit (1 in validation, 1 in test)",))


def test_classes_too_small_for_our_own_split_are_a_warning(shop):
    data = split_dataset(shop([*GOOD[:11], "11.png,rare"]))
    problems = found(data, for_training=True)
    assert all(p.level == "warning" for p in problems.values())
    assert problems["single-picture"].where == ("rare",)


def test_empty_one_and_alike_classes(tmp_path, photos):
    (photos / "nothing").mkdir()
    assert found(read_dataset(photos))["empty-class"].where == ("nothing",)
    assert found(read_dataset(photos))["empty-class"].level == "error"


def test_one_class_and_one_picture(shop):
    one = shop(["0.png,x", "1.png,x"])
    assert found(one)["one-class"].level == "warning"
    assert found(one, for_training=True)["one-class"].level == "error"
    assert set(found(shop(["0.png,x"]), for_training=True)) == {"one-picture", "one-class", "single-picture"}


def test_spellings_of_one_class(shop):
    problem = found(shop([*GOOD, "0.png,T-Shirt", "1.png,t shirt"]), pictures=False)["alike-classes"]
    assert problem.where == ("'T-Shirt' = 't shirt'",)


def test_null_and_several_labels(shop):
    assert found(shop([*GOOD, "a.png,"]), pictures=False)["no-label"].level == "warning"
    assert found(shop([*GOOD, "a.png,"]), pictures=False, for_training=True)["no-label"].level == "error"
    several = shop(["0.png,x|y", "1.png,x", "2.png,y", "3.png,"], "path,labels")
    problems = found(several, for_training=True)
    assert (problems["several-labels"].count, problems["several-labels"].where) == (1, ("0.png",))
    assert problems["no-label"].where == ("3.png",)


def test_imbalance(shop):
    problem = found(shop([*[f"{i}.jpg,x" for i in range(300)], "a,y", "b,y"]), pictures=False)["imbalance"]
    assert problem.where == ("x (300)", "y (2)")
    assert "150 times" in problem.what


def test_rows_without_a_part_and_no_train_part(shop):
    assert (
        found(shop([*[f"{r},train" for r in GOOD], "a,x,"], "path,label,part"), pictures=False)[
            "no-part"
        ].count
        == 1
    )
    problem = found(shop([f"{r},test" for r in GOOD], "path,label,part"), for_training=True)["no-train"]
    assert "only test (12)" in str(problem)


def test_what_was_left_out_is_told(photos, tmp_path):
    (photos / "stray.png").write_bytes((photos / "circle" / "0.png").read_bytes())
    assert found(read_dataset(photos))["left-out-picture"].where == ("stray.png",)


def test_formats_that_are_not_read_are_told(photos):
    (photos / "circle" / "raw.dng").touch()
    problem = found(read_dataset(photos))["format-not-read"]
    assert problem.where == ("circle/raw.dng",)
    assert "passed over" in str(problem)


def test_progress_reaches_the_end(shop):
    calls = []
    check_dataset(shop(GOOD), on_progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (12, 12)


def test_everything_is_raised_at_once():
    problems = [
        Problem(
            "error",
            "missing-file",
            "7,000 pictures do not exist",
            "copy them",
            ("a", "b", "c", "d", "e", "f"),
            7000,
        ),
        Problem("error", "one-class", "all pictures are of one class", "add another", ("x",)),
        Problem("warning", "imbalance", "never raised", "-"),
    ]
    with pytest.raises(DatasetError) as told:
        raise_problems(problems)
    text = str(told.value)
    assert "2 kinds of errors" in text
    assert "7,000 pictures do not exist: a, b, c, d, e and 6,995 more" in text
    assert "fix: add another" in text
    assert "never raised" not in text
    raise_problems(problems[2:])
    raise_problems([])


def test_one_error_is_one_message():
    with pytest.raises(DatasetError) as told:
        raise_problems(
            [Problem("error", "one-class", "all pictures are of one class", "add another", ("x",))]
        )
    assert (told.value.what, told.value.fix) == ("all pictures are of one class: x", "add another")


def test_errors_come_first(shop):
    levels = [p.level for p in check_dataset(shop(["0.png,x", "no.png,x"]))]
    assert levels == sorted(levels, key=lambda level: level != "error")


@pytest.mark.shared
def test_real_sets_are_in_order(shared_data):
    data = read_dataset(shared_data / "clothing")
    assert (len(data), len(data.classes), data.parts) == (3409, 10, {"train": 3068, "validation": 341})
    assert not [p for p in check_dataset(data, for_training=True) if p.level == "error"]


def test_a_group_column_of_one_value_is_told_before_a_training(shop):
    rows = [f"{i}.png,{'xyz'[i % 3]},only,{('train', 'train', 'validation')[i // 4]}" for i in range(12)]
    data = shop(rows, "path,label,group,part")
    told = found(data, pictures=False, for_training=True)["one-group"]
    assert (told.level, told.where) == ("warning", ("only",))
    assert "--no-by-group" in told.fix
    dealt = split_dataset(shop([f"{i}.png,{'xyz'[i % 3]},only" for i in range(12)], "path,label,group"))
    assert "one-group" in found(dealt, pictures=False)
