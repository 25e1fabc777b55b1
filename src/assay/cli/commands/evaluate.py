"""``assay evaluate``: a run or a Bundle measured on labelled pictures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.command import Command
from assay.cli.flags import add_config_flags, given_options, read_config
from assay.configs import ReadConfig
from assay.errors import ConfigError, DatasetError

if TYPE_CHECKING:
    from assay.labels import ClassNames
    from assay.metrics.evaluation import Evaluation
    from assay.types import Dataset, Prediction, Predictor


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN_OR_BUNDLE", help="a run folder or a .bundle file")
    parser.add_argument("data", metavar="DATA", nargs="?", help="labelled pictures; a run knows its own")
    parser.add_argument(
        "--part", default="test", metavar="NAME", help="train, validation, test, or all (default: test)"
    )
    parser.add_argument("--split", metavar="FILE", help="CSV or Parquet table with the columns path and part")
    parser.add_argument(
        "--abstain",
        action="store_true",
        help="also measure which answers are held back, and how often the given ones are wrong",
    )
    parser.add_argument("--json", action="store_true", help="print the evaluation as JSON")
    parser.add_argument(
        "--out", metavar="FOLDER", help="where PART.json and PART.npz go (default: into the run)"
    )
    parser.add_argument("--batch", type=int, metavar="N", help="pictures a batch; changes speed, not answers")
    parser.add_argument(
        "--draws", type=int, default=1000, metavar="N", help="bootstrap draws (default: 1000)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (default: 0)")
    add_config_flags(parser, ReadConfig)


def _run(args: argparse.Namespace) -> int:
    for name, low in (("batch", 1), ("draws", 1), ("seed", 0)):
        value = getattr(args, name)
        if value is not None and value < low:
            raise ConfigError(f"--{name} is {value}", fix=f"the least is {low}")
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.metrics.evaluate import evaluate  # noqa: PLC0415 - numpy, for those who measure

    place = Path(args.model)
    predictor = _with_batch(_load(place), args.batch)
    dataset, own = _dataset(args, place)
    part = None if args.part == "all" else args.part
    if part is not None and not dataset.parts:
        raise ConfigError(
            f"{dataset.name} has no parts, so none is called {part!r}",
            got=f"{len(dataset)} pictures",
            fix="--part all measures every picture; --split FILE names the parts",
        )
    total = len(dataset) if part is None else len(dataset.part(part))
    with quiet_native():
        evaluation = evaluate(
            _Shown(predictor, total),
            dataset,
            part,
            draws=args.draws,
            seed=args.seed,
            model=_name(predictor, place),
            abstain=args.abstain,
        )
    saved = _save(evaluation, args.out, place, own=own)
    if args.json:
        told = evaluation.to_dict()
        if args.abstain:
            from assay.decide.words import promises  # noqa: PLC0415

            told["promises"] = promises(predictor.abstention)
        print(json.dumps(told, ensure_ascii=False, allow_nan=False))
    else:
        from assay.report.text import print_evaluation  # noqa: PLC0415

        print_evaluation(evaluation, sys.stdout)
        if args.abstain:
            from assay.report.abstain_text import print_abstention  # noqa: PLC0415

            print_abstention(evaluation, predictor.abstention, sys.stdout)
        if saved is not None:
            print(f"written to {saved}")
    return 0


def _load(place: Path) -> Predictor:
    if not place.exists():
        raise ConfigError(f"{place} does not exist", fix="give a run folder or a .bundle file")
    if place.is_dir():
        from assay.train.predictor import load_run  # noqa: PLC0415 - torch

        return load_run(place)
    from assay.runtime.load import load  # noqa: PLC0415

    found: Predictor = load(place)
    return found


def _with_batch(predictor: Any, batch: int | None) -> Any:
    if batch is None:
        return predictor
    if (
        is_dataclass(predictor)
        and not isinstance(predictor, type)
        and "batch" in {f.name for f in fields(predictor)}
    ):
        return replace(predictor, batch=batch)
    raise ConfigError(f"--batch is not an option of {type(predictor).__name__}")


def _name(predictor: Any, place: Path) -> str:
    return str(getattr(getattr(predictor, "card", None), "name", None) or place.stem)


@dataclass(frozen=True)
class _Shown:
    """A predictor whose progress is shown."""

    inner: Predictor
    total: int

    @property
    def classes(self) -> ClassNames:
        return self.inner.classes

    @property
    def abstention(self) -> Any:
        return getattr(self.inner, "abstention", None)

    def predict(self, sources: Iterable[str | Path], **options: bool) -> Iterator[Prediction]:
        from assay.cli.progress import track  # noqa: PLC0415

        return track(self.inner.predict(sources, **options), "evaluate", self.total)


def _dataset(args: argparse.Namespace, place: Path) -> tuple[Dataset, bool]:
    """(pictures, whether they are those of the run itself, split as the run split them)."""
    from assay.data.read import read_dataset  # noqa: PLC0415

    record = _record(place)
    if args.data is None and "data" not in record:
        raise ConfigError(
            f"no data given, and {place} names none", fix="give a folder or a table of labelled pictures"
        )
    data = args.data if args.data is not None else record["data"]
    own = (
        "data" in record and Path(data).expanduser().resolve() == Path(record["data"]).expanduser().resolve()
    )
    config = read_config(args, ReadConfig)
    if own and not given_options(args, ReadConfig):
        config = ReadConfig.from_dict(record.get("recipe", {}).get("read", {}))
    dataset = read_dataset(data, config)
    if args.split is not None:
        return _with_parts(dataset, Path(args.split)), False
    stored = place / "split.parquet"
    return (_as_stored(dataset, stored, record), True) if own and stored.is_file() else (dataset, False)


def _record(place: Path) -> dict[str, Any]:
    file = place / "run.json"
    if not file.is_file():
        return {}
    try:
        record = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file} is damaged", got=str(error)) from error
    return record if isinstance(record, dict) else {}


def _as_stored(dataset: Dataset, stored: Path, record: dict[str, Any]) -> Dataset:
    """The pictures of the run's own split table, which may be older than what the folder holds now."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    from assay.labels import ClassNames  # noqa: PLC0415

    classes = ClassNames(record.get("classes") or dataset.classes)
    return replace(dataset, table=pq.read_table(stored), classes=classes, split=record.get("split") or {})


def _with_parts(dataset: Dataset, file: Path) -> Dataset:
    """``dataset`` with the parts that the table in ``file`` gives to its paths; other pictures have no part."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    table = _read_split(file)
    found = pc.index_in(dataset.table["path"].cast(pa.string()), value_set=table["path"].cast(pa.string()))
    if found.null_count == len(dataset):
        raise DatasetError(
            f"no picture of {dataset.name} is in {file}",
            got=f"{table['path'][0].as_py()!r} there, {dataset.table['path'][0].as_py()!r} in the data",
            fix="write paths as the data set has them, relative to its folder",
        )
    parts = table["part"].cast(pa.string()).take(found)
    columns = dataset.table.drop_columns(["part"]) if "part" in dataset.table.column_names else dataset.table
    return replace(
        dataset, table=columns.append_column("part", parts), split={"by": "file", "file": file.name}
    )


def _read_split(file: Path) -> Any:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.csv as pa_csv  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    if not file.is_file():
        raise ConfigError(
            f"{file} does not exist", fix="name a CSV or Parquet table, as `assay split` writes it"
        )
    try:
        table = pq.read_table(file) if file.suffix.lower() == ".parquet" else pa_csv.read_csv(file)
    except pa.ArrowInvalid as error:
        raise DatasetError(f"{file} cannot be read as a table", got=str(error).splitlines()[0]) from error
    if not {"path", "part"} <= set(table.column_names) or len(table) == 0:
        columns = ", ".join(table.column_names)
        raise DatasetError(
            f"{file} names no parts", got=f"columns: {columns}", fix="columns path and part are needed"
        )
    return table


def _save(evaluation: Evaluation, out: str | None, place: Path, *, own: bool) -> Path | None:
    """Into ``out``; else into the run, where other data than its own get a folder by their name."""
    if out is not None:
        return evaluation.save(out)
    if not place.is_dir():
        return None
    home = place / "evaluation"
    return evaluation.save(home if own else home / (Path(evaluation.dataset).name or "other"))


COMMAND = Command(
    "evaluate",
    "Measure a run or a Bundle on labelled pictures: accuracy, F1, AUROC, calibration, each with its interval.",
    _add_arguments,
    _run,
    epilog="""examples:
  assay evaluate runs/first                           the test part that the run kept aside
  assay evaluate first.bundle photos --part all --json
  assay evaluate first.bundle photos --split split.csv --part test
  assay evaluate runs/first --abstain                 what `assay calibrate` promised, beside what is found""",
)
