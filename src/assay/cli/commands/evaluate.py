"""``assay evaluate``: a run or a Bundle measured on labelled pictures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.answerer import load_answerer, require_score
from assay.cli.command import Command
from assay.cli.flags import add_config_flags
from assay.cli.measured_pictures import measured_pictures
from assay.configs import ReadConfig
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.card import Card
    from assay.labels import ClassNames
    from assay.metrics.evaluation import Evaluation
    from assay.metrics.scene_evaluation import SceneEvaluation
    from assay.types import Dataset, Prediction


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="RUN_OR_BUNDLE", help="a run folder, a .bundle file, or a .toml that joins several"
    )
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
    parser.add_argument(
        "--score",
        type=float,
        metavar="S",
        help="of found things: count those with this score or more as told (default: what validation picked)",
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
    require_score(args.score, "--score")

    place = Path(args.model)
    predictor = _with_batch(load_answerer(place), args.batch)
    is_scene = _is_scene(predictor)
    _require_fitting(args, predictor, is_scene=is_scene)
    dataset, own = measured_pictures(args, place)
    part = None if args.part == "all" else args.part
    if part is not None and not dataset.parts:
        raise ConfigError(
            f"{dataset.name} has no parts, so none is called {part!r}",
            got=f"{len(dataset)} pictures",
            fix="--part all measures every picture; --split FILE names the parts",
        )
    shown = _Shown(predictor, len(dataset) if part is None else len(dataset.part(part)))
    if is_scene:
        return _scenes(args, shown, dataset, part, place, own=own)
    return _classes(args, shown, dataset, part, place, own=own)


def _is_scene(predictor: Any) -> bool:
    return getattr(getattr(predictor, "card", None), "task", "classify") == "scene"


def _require_fitting(args: argparse.Namespace, predictor: Any, *, is_scene: bool) -> None:
    """Raise ConfigError where an option has no meaning for what the network tells."""
    if is_scene and args.abstain:
        raise ConfigError(
            "--abstain is measured of classifiers",
            got=f"a network that tells {', '.join(predictor.card.heads)}",
        )
    if args.score is not None and not (is_scene and {"boxes", "masks"} & set(predictor.card.heads)):
        raise ConfigError("--score is of found things, and this network finds none", fix="leave it out")


def _scenes(
    args: argparse.Namespace, shown: _Shown, dataset: Dataset, part: str | None, place: Path, *, own: bool
) -> int:
    """Measure a network of several heads."""
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.metrics.scene_evaluate import evaluate_scenes  # noqa: PLC0415

    with quiet_native():
        evaluation = evaluate_scenes(
            shown,
            dataset,
            part,
            draws=args.draws,
            seed=args.seed,
            model=_name(shown.inner, place),
            told=args.score,
        )
    tried = args.score is not None and args.out is None  # a score to try is not what the run says of itself
    saved = None if tried else _save(evaluation, args.out, place, own=own)
    if args.json:
        print(json.dumps(evaluation.to_dict(), ensure_ascii=False, allow_nan=False))
        return 0
    from assay.report.scene_text import print_scenes  # noqa: PLC0415

    print_scenes(evaluation, sys.stdout)
    if saved is not None:
        print(f"written to {saved}")
    return 0


def _classes(
    args: argparse.Namespace, shown: _Shown, dataset: Dataset, part: str | None, place: Path, *, own: bool
) -> int:
    """Measure a classifier."""
    from assay.cli.native import quiet_native  # noqa: PLC0415
    from assay.metrics.evaluate import evaluate  # noqa: PLC0415 - numpy, for those who measure

    with quiet_native():
        evaluation = evaluate(
            shown,
            dataset,
            part,
            draws=args.draws,
            seed=args.seed,
            model=_name(shown.inner, place),
            abstain=args.abstain,
        )
    saved = _save(evaluation, args.out, place, own=own)
    if args.json:
        told = evaluation.to_dict()
        if args.abstain:
            from assay.decide.words import promises  # noqa: PLC0415

            told["promises"] = promises(shown.abstention)
        print(json.dumps(told, ensure_ascii=False, allow_nan=False))
    else:
        from assay.report.text import print_evaluation  # noqa: PLC0415

        print_evaluation(evaluation, sys.stdout)
        if args.abstain:
            from assay.report.abstain_text import print_abstention  # noqa: PLC0415

            print_abstention(evaluation, shown.abstention, sys.stdout)
        if saved is not None:
            print(f"written to {saved}")
    return 0


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

    inner: Any
    total: int

    @property
    def card(self) -> Card:
        card: Card = self.inner.card
        return card

    @property
    def classes(self) -> ClassNames:
        classes: ClassNames = self.inner.classes
        return classes

    @property
    def abstention(self) -> Any:
        return getattr(self.inner, "abstention", None)

    def predict(self, sources: Iterable[str | Path], **options: Any) -> Iterator[Prediction]:
        from assay.cli.progress import track  # noqa: PLC0415

        return track(self.inner.predict(sources, **options), "evaluate", self.total)


def _save(
    evaluation: Evaluation | SceneEvaluation, out: str | None, place: Path, *, own: bool
) -> Path | None:
    """Into ``out``; else into the run, where other data than its own get a folder by their name."""
    if out is not None:
        return evaluation.save(out)
    if not place.is_dir():
        return None
    home = place / "evaluation"
    return evaluation.save(home if own else home / (Path(evaluation.dataset).name or "other"))


COMMAND = Command(
    "evaluate",
    "Measure a run or a Bundle on labelled pictures, each number with its interval: accuracy, F1, AUROC, calibration;\n"
    "average precision of boxes, masks and tags; overlap of pixels; and what comes out right as a whole.",
    _add_arguments,
    _run,
    epilog="""examples:
  assay evaluate runs/first                           the test part that the run kept aside
  assay evaluate first.bundle photos --part all --json
  assay evaluate first.bundle photos --split split.csv --part test
  assay evaluate runs/street --score 0.4              things told from another score on
  assay evaluate runs/first --abstain                 what `assay calibrate` promised, beside what is found""",
)
