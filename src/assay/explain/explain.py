"""Explain a run: test every kind of explanation, then draw the best of those that passed.

What is written (``RUN/explain``): ``tests.json`` (scores, kept as they come, so that a stopped call goes on),
``maps.npz``, a PNG of each picture and of each overlay, ``kinds.png`` (all kinds that passed side by side) and last
``explain.json``, which names them all. A second call with the same weights and pictures reads what is there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from PIL import Image

from assay.errors import ConfigError, DatasetError
from assay.explain.drawing import calibrated, draw_maps, save_maps, save_pictures, save_sheet
from assay.explain.explanation import Explanation, worth
from assay.explain.faithfulness import FEWEST, Examiner, Score
from assay.explain.pictures import (
    Picture,
    fingerprint,
    given_pictures,
    prepare,
    run_pictures,
    spread,
    telling,
)
from assay.explain.source import file_digest
from assay.files import write_file
from assay.metrics.interval import group_numbers
from assay.preprocess import Preprocess
from assay.tables import EXPLANATIONS
from assay.train.machine import tune_allocator
from assay.train.predictor import CheckpointPredictor, load_classifier

REVISION = 3
"""Raise it when the same pictures and weights give other scores or maps than before."""

Progress = Callable[[str, int, int], None]
"""(what is done, done, total)."""


def explain(
    run: str | Path,
    pictures: Iterable[str | Path] | None = None,
    *,
    kinds: Sequence[str] | None = None,
    n: int = 16,
    test_pictures: int = 48,
    out: str | Path | None = None,
    show: bool = False,
    progress: Progress | None = None,
) -> Explanation:
    """Test kinds of explanation on a run and draw the best one that passed.

    Parameters
    ----------
    run : the folder of a finished run.
    pictures : files and folders to explain; ``n`` of the run's validation part when not given.
    kinds : names of EXPLANATIONS; all when not given.
    n : most pictures that are drawn.
    test_pictures : pictures of the validation part that the tests use (the given ones, where there is no such part).
    out : where things are written; ``RUN/explain`` when not given.
    show : open the sheet of pictures on this screen.
    progress : is told (what, done, total) now and then.

    Raises
    ------
    ConfigError : no such run, kind or picture, or a number below 1.
    DatasetError : there are no pictures, or none can be read.
    """
    names = _kinds(kinds)
    for what, number in (("n", n), ("test_pictures", test_pictures)):
        if number < 1:
            raise ConfigError(f"{what} is {number}", fix="give at least 1")
    begun = time.monotonic()
    tune_allocator()  # thousands of forward passes: twice as quick, measured on two cores
    predictor = load_classifier(run)
    work = _Work(predictor, Path(out) if out is not None else predictor.folder / "explain")
    tested, drawn, source = _choose(predictor.folder, pictures, n, test_pictures)
    work.key = fingerprint(
        tested, str(REVISION), file_digest(predictor.folder / "model.safetensors"), _face(predictor)
    )
    whole = fingerprint(drawn, work.key, *names)
    earlier = _earlier(work.folder, whole)
    if earlier is None:
        scores = work.test(tested, names, progress)
        earlier = work.draw(drawn, scores, source, len(tested), whole, begun)
    if show:
        with Image.open(work.folder / "kinds.png") as page:
            page.show()
    return earlier


def _kinds(kinds: Sequence[str] | None) -> list[str]:
    """Names in the order of the table.

    Raises
    ------
    ConfigError : an unknown kind, or none.
    """
    if kinds is None:
        return list(EXPLANATIONS)
    for kind in kinds:
        if kind not in EXPLANATIONS:
            EXPLANATIONS.load(kind)  # tells the nearest names
    if not kinds:
        raise ConfigError("no kind of explanation is named", fix=f"choose from {', '.join(EXPLANATIONS)}")
    return [kind for kind in EXPLANATIONS if kind in kinds]


def _choose(
    folder: Path, pictures: Iterable[str | Path] | None, n: int, test_pictures: int
) -> tuple[list[Picture], list[Picture], str]:
    """(pictures for the tests, pictures to draw, where the first are from)."""
    if pictures is None:
        own, part = run_pictures(folder)
        return spread(own, test_pictures), telling(own, n), f"the {part} part"
    given = given_pictures(pictures)
    try:
        own, part = run_pictures(folder)
    except DatasetError:
        return spread(given, test_pictures), given[:n], "the pictures given"
    return spread(own, test_pictures), given[:n], f"the {part} part"


def _face(predictor: CheckpointPredictor) -> str:
    card = predictor.card
    return f"{Preprocess(card.preprocess).digest}|{card.temperature}|{dict(card.model)}"


def _earlier(folder: Path, key: str) -> Explanation | None:
    """What an earlier call wrote, where it was about the same and all its files are still there."""
    try:
        found = Explanation.load(folder)
    except (ConfigError, DatasetError):
        return None
    files = [folder / name for shown in found.shown for name in (shown.original, shown.overlay) if name]
    same = found.key == key and all(file.is_file() for file in [*files, folder / "kinds.png"])
    return found if same else None


class _Work:
    """One call of ``explain``."""

    def __init__(self, predictor: CheckpointPredictor, folder: Path) -> None:
        self.predictor, self.folder, self.key = predictor, folder, ""

    def test(self, pictures: list[Picture], names: list[str], progress: Progress | None) -> list[Score]:
        """The scores of these kinds; those that an earlier call has measured on the same pictures are read."""
        known = self._known()
        missing = [name for name in names if name not in known]
        if missing:
            readable, x = prepare(pictures, self.predictor)
            if not readable:
                raise DatasetError("none of the pictures can be read", fix="run `assay check` on them")
            groups = group_numbers([picture.group for picture in readable], len(readable))
            examiner = Examiner(
                self.predictor.model, x, temperature=self.predictor.card.temperature, groups=groups
            )
            examiner.tick = _ticker(progress, examiner.steps * len(missing))
            for name in missing:
                known[name] = examiner.test(name, EXPLANATIONS.load(name))
                self._keep(known)
        return [known[name] for name in names]

    def _known(self) -> dict[str, Score]:
        try:
            values = json.loads((self.folder / "tests.json").read_text("utf-8"))
            if values["key"] == self.key:
                return {score["kind"]: Score.from_dict(score) for score in values["scores"]}
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not there, damaged or of another version: measured anew
        return {}

    def _keep(self, scores: dict[str, Score]) -> None:
        told = {"key": self.key, "scores": [score.to_dict() for score in scores.values()]}
        write_file(self.folder / "tests.json", json.dumps(told, indent=1, allow_nan=False).encode())

    def draw(
        self, pictures: list[Picture], scores: list[Score], source: str, tested: int, key: str, begun: float
    ) -> Explanation:
        """Maps of the kinds that passed, overlays of the best, and last of all ``explain.json``."""
        predictor, folder = self.predictor, self.folder
        readable, x = prepare(pictures, predictor)
        if not readable:
            raise DatasetError("none of the pictures to explain can be read", fix="run `assay check` on them")
        passed = [s.kind for s in sorted((s for s in scores if s.passed), key=worth, reverse=True)]
        best = passed[0] if passed else None
        maps = draw_maps(predictor, x, passed)
        save_maps(folder, maps, readable)
        shown = save_pictures(
            folder, predictor, readable, calibrated(predictor, x), maps[best] if best else None
        )
        save_sheet(folder, predictor, readable, maps)
        explanation = Explanation(
            folder=folder,
            run=predictor.name,
            model=str(predictor.card.model.get("model", "")),
            size=predictor.card.preprocess.size,
            best=best,
            scores=scores,
            shown=shown,
            tested_on=source,
            tested=max([0, *(score.n for score in scores)]),
            key=key,
            seconds=round(time.monotonic() - begun, 1),
            notes=_notes(len(pictures) - len(readable), tested),
        )
        text = json.dumps(explanation.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        write_file(folder / "explain.json", text.encode())
        return explanation


def _notes(unread: int, tested: int) -> list[str]:
    notes = []
    if unread:
        notes.append(f"{unread} picture{'s' if unread != 1 else ''} could not be read")
    if tested < FEWEST:
        notes.append(
            f"{tested} pictures are too few to test an explanation; {FEWEST} are the least, 48 are better"
        )
    return notes


def _ticker(progress: Progress | None, total: int) -> Callable[[str, int], None]:
    """From pictures done at a time to (what, done, total)."""
    done = 0

    def tick(what: str, count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(what, min(done, total), total)

    return tick
