"""A candidate for a question of a policy: trained from a revision, packed, and held against the live network.

It starts from the live network's weights and is asked for the same network and the same preprocessing. Both Bundles
then answer the held-out part, which neither learned from, and ``metrics.standing`` says whether a class gets worse. The
candidate's folder is all that `assay promote` needs: the policy with the one network replaced, the Bundle, the
comparison. Thresholds are not carried over: they are promises about another network's scores.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.bundle import WEIGHTS, Bundle, load_bundle
from assay.configs import ModelConfig, PreprocessConfig
from assay.decide.policy_read import read_policy
from assay.errors import ConfigError, DatasetError
from assay.export.export import export
from assay.files import write_file
from assay.metrics.evaluate import evaluate
from assay.metrics.standing import Standing, stand
from assay.runtime.load import load
from assay.runtime.policy_text import policy_text
from assay.runtime.precisions import precisions_of
from assay.runtime.promote import COMPARISON
from assay.runtime.revision import held_out_doubt, revision_data
from assay.train.start import train

if TYPE_CHECKING:
    from assay.card import Card
    from assay.data.lineage import Revision
    from assay.decide.policy import Policy
    from assay.metrics.evaluation import Evaluation
    from assay.types import Dataset

FORMAT = 1
PART = "test"
OF_LIVE = ("model", "width", "depth", "dropout", "drop_path", "model_options")
"""What the candidate takes from the live network's card, beside its preprocessing, where nothing else is asked for."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Candidate:
    """``folder`` holds ``policy`` (its file), ``bundle``, the comparison and the run. ``notes`` are for people."""

    folder: Path
    question: str
    policy: Path
    bundle: Path
    run: Path
    standing: Standing
    new: Evaluation
    live: Evaluation
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it."""
        return self.standing.passed


def make_candidate(
    path: str | Path,
    question: str,
    revision: Revision,
    out: str | Path,
    *,
    show: bool = False,
    command: Sequence[str] = (),
    begun: float | None = None,
    on_progress: Progress | None = None,
    made_at: float = 0.0,
    **options: Any,
) -> Candidate:
    """Train, export and compare; ``out`` is a new folder, written to its end whether the candidate passes or not.

    Parameters
    ----------
    path : the live policy's file.
    question : whose network is trained; its truth is in the revision.
    options : of the training, over what the live network's card says.

    Raises
    ------
    ConfigError : ``out`` is there already, or the network tells more than a class.
    DatasetError : the held-out part is empty, or knows classes that the candidate has not learned.
    PolicyError, BundleError, ModelError, ExportError : as ``read_policy``, ``load_bundle``, ``train`` and ``export``.
    """
    policy, out = read_policy(path), Path(out)
    place = policy.model_path(policy.question(question))
    live = load_bundle(place)
    if live.card.task != "classify":
        raise ConfigError(
            f"{place} tells more than a class",
            got=", ".join(live.card.heads),
            fix="train it by `assay train`",
        )
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} holds a candidate already", fix="name another folder")
    data = revision_data(revision, question)
    with tempfile.TemporaryDirectory(prefix="assay-") as room:
        weights, notes = _weights(live, Path(room))
        asked = {**asked_by(live.card), **weights, **options}
        run = train(data, out / "run", show=show, command=command, begun=begun, **asked)
    doubt = held_out_doubt(revision, question, live.card)
    notes = (*notes, *([] if doubt is None else [doubt]))
    bundle = out / f"{question}.bundle"
    also = [name for name in precisions_of(live) if name != "fp32"]
    export(run.folder, bundle, precisions=also, on_progress=on_progress)
    new_said, live_said, notes_of_test = compare_bundles(bundle, place, data)
    standing = stand(new_said, live_said, _weights_of(revision), names=("candidate", "live"))
    _write(policy, question, bundle, place, revision, standing, out, made_at, [*notes, *notes_of_test])
    return Candidate(
        out,
        question,
        out / policy.path.name if policy.path is not None else out / "policy.yaml",
        bundle,
        run.folder,
        standing,
        new_said,
        live_said,
        (*notes, *notes_of_test, *run.warnings),
    )


def asked_by(card: Card) -> dict[str, Any]:
    """Options of a training that gives a network like the one of this card, ``decode`` apart: export chooses it."""
    model = {name: card.model[name] for name in OF_LIVE if card.model.get(name) is not None}
    names = [f.name for f in fields(PreprocessConfig) if f.name != "decode"]
    usual = ModelConfig()
    asked = {name: value for name, value in model.items() if value != getattr(usual, name)}
    return {"model": card.model["model"], **asked, **{name: getattr(card.preprocess, name) for name in names}}


def compare_bundles(new: Path, live: Path, data: Dataset) -> tuple[Evaluation, Evaluation, tuple[str, ...]]:
    """Both Bundles on the held-out part; pictures of classes that only the new one can know are left out, and told.

    Raises
    ------
    DatasetError : no picture is left.
    """
    known = load(live)
    held = data.part(PART)
    names = {name for name in data.classes if name in known.classes}
    wanted = [i for i, k in enumerate(held.targets) if k < 0 or data.classes[int(k)] in names]
    notes: tuple[str, ...] = ()
    if len(wanted) < len(held):
        strange = [name for name in data.classes if name not in names]
        notes = (
            f"{len(held) - len(wanted):,} held-out pictures are of classes that the live network does not know "
            f"({', '.join(strange[:5])}), so nothing is compared on them",
        )
    if not wanted:
        raise DatasetError(
            "no held-out picture is of a class that the live network knows", fix="name the right --data"
        )
    chosen = held.take(wanted)
    answers = [evaluate(one, chosen, PART, draws=200) for one in (load(new), known)]
    return answers[0], answers[1], notes


def _weights(live: Bundle, room: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """The live network's weights as a file to start from, called so that the run says which they were."""
    if WEIGHTS not in live.members:
        return {}, ("the live Bundle holds no weights to start from: the candidate began anew",)
    place = room / f"live-{live.digest[:12]}.safetensors"
    write_file(place, live.member(WEIGHTS))
    return {"weights": str(place)}, ()


def _weights_of(revision: Revision) -> dict[str, float]:
    """Path -> weight of reviewed pictures."""
    rows = revision.rows("path", "weight")
    return {
        path: weight for path, weight in zip(rows["path"], rows["weight"], strict=True) if weight is not None
    }


def _write(
    policy: Policy,
    question: str,
    bundle: Path,
    live: Path,
    revision: Revision,
    standing: Standing,
    out: Path,
    made_at: float,
    notes: Sequence[str],
) -> None:
    """The policy and the comparison; the latter last, for it makes the folder a candidate."""
    models = {one.name: policy.model_path(one) for one in policy}
    models[question] = bundle
    name = policy.path.name if policy.path is not None else "policy.yaml"
    write_file(out / name, policy_text(policy, models, out).encode())
    told: Mapping[str, Any] = {
        "format": FORMAT,
        "question": question,
        "made_at": made_at or time.time(),
        "policy": {"name": policy.name, "version": policy.version, "digest": policy.digest},
        "revision": {"number": revision.number, "digest": revision.digest},
        "new": {"bundle": bundle.name, "sha256": load_bundle(bundle).digest},
        "live": {"bundle": live.name, "sha256": load_bundle(live).digest},
        **standing.to_dict(),
        "notes": [*notes, *standing.comparison.notes],
    }
    text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False)
    write_file(out / COMPARISON, (text + "\n").encode())
