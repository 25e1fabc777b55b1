"""``audit``: the doctor. Reads a data set, looks at every picture once, and walks the table of checkups.

Whatever is worked out is kept in ``OUT/work``, so an audit that was broken off goes on where it was. A checkup that
fails on strange data is told as a note with its reason, and the others go on: the doctor is called when data are
strange.
"""

from __future__ import annotations

import dataclasses
import os
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from assay.audit.examination import Examination, Progress
from assay.audit.finding import Finding
from assay.audit.intake import read_for_audit
from assay.audit.kept import KeptFindings
from assay.audit.outcome import AUDIT_FILE, Audit, sorted_findings
from assay.audit.overview import class_sizes, counts_by_part, overview_of, things_of
from assay.audit.stages import stage_bar
from assay.config import Config
from assay.configs import ReadConfig
from assay.errors import AssayError, ConfigError
from assay.files import write_file
from assay.tables import CHECKUPS, suggest
from assay.types import Dataset
from assay.verb_configs import AuditConfig

WORK, _SOURCE = "work", "source.txt"

Checkup = Callable[[Examination], Iterable[Finding]]


def audit(
    data: str | Path | Dataset,
    out: str | Path | None = None,
    *,
    show: bool = False,
    checkups: Sequence[str] | None = None,
    progress: Progress | None = None,
    groups: str | Path | None = None,
    group_pattern: str | None = None,
    source: str | Path | None = None,
    **options: Any,
) -> Audit:
    """Examine a data set.

    Parameters
    ----------
    data : a folder of pictures (with or without class folders), a table, or a Dataset.
    out : where ``audit.json``, the lists in ``findings/`` and the kept work go (default: ``audits/NAME``).
    show : move a progress bar on stderr.
    checkups : names of the checkups to make (default: all of ``tables.CHECKUPS``).
    progress : called with (stage, done, of how many); in place of the bar.
    groups, group_pattern : a table with a column of groups, or a regular expression that finds the group in a path.
    source : where a Dataset was read from; told in the audit.
    options : fields of ``AuditConfig`` and ``ReadConfig``.

    Raises
    ------
    ConfigError : an unknown option or checkup, a path that does not exist, or ``out`` cannot be used.
    DatasetError : there are no pictures, or a table is broken.
    """
    begun = time.monotonic()
    read, config = deal_options(options)
    names = chosen_checkups(checkups)
    dataset = _dataset(data, read, groups, group_pattern)
    source = data if not isinstance(data, Dataset) else source
    folder = _claim(Path(out) if out is not None else None, dataset, source)
    try:
        with stage_bar(show=show and progress is None) as bar:
            examination = _examine(dataset, config, folder / WORK, progress or bar)
            findings = _walk(examination, names)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"what is done so far is kept in {folder / WORK}; give the same command again to go on"
        ) from None
    found = Audit(
        data=dataset.name if source is None else str(source),
        n=len(dataset),
        classes=class_sizes(dataset),
        parts=dataset.parts,
        findings=sorted_findings(findings),
        checkups=tuple(names),
        counts=counts_by_part(dataset),
        overview={**overview_of(examination.facts), **things_of(dataset)},
        config={k: v for k, v in config.to_dict().items() if k != "workers"},
        root=str(dataset.root.resolve()),
        folder=str(folder),
        seconds=time.monotonic() - begun,
    )
    found.save(folder)
    return found


def deal_options(options: Mapping[str, Any]) -> tuple[ReadConfig, AuditConfig]:
    """Flat options, dealt to the two configs. Raises ConfigError for an unknown name, with a suggestion."""
    homes: dict[str, type[Config]] = {
        f.name: kind for kind in (ReadConfig, AuditConfig) for f in dataclasses.fields(kind)
    }
    for name in options:
        if name not in homes:
            raise ConfigError(f"unknown option {name!r}", fix=suggest(name, list(homes)))
    dealt = {
        kind: {n: v for n, v in options.items() if homes[n] is kind} for kind in (ReadConfig, AuditConfig)
    }
    return ReadConfig.from_dict(dealt[ReadConfig]), AuditConfig.from_dict(dealt[AuditConfig])


def chosen_checkups(names: Sequence[str] | None, skip: Sequence[str] = ()) -> list[str]:
    """The checkups to make, in the order of the table. Raises ConfigError for a name that is not in it."""
    known = list(CHECKUPS)
    for name in (*(names or ()), *skip):
        if name not in known:
            raise ConfigError(f"unknown checkup {name!r}", fix=suggest(name, known))
    wanted = [name for name in known if (names is None or name in names) and name not in skip]
    if not wanted:
        raise ConfigError("no checkup is left to make", fix=f"name some of {', '.join(known)}")
    return wanted


def _dataset(
    data: str | Path | Dataset, read: ReadConfig, groups: str | Path | None, pattern: str | None
) -> Dataset:
    if not isinstance(data, Dataset):
        return read_for_audit(data, read, groups=groups, group_pattern=pattern)
    usual = ReadConfig().to_dict()
    given = [k for k, v in read.to_dict().items() if v != usual[k]] + [
        name for name, value in (("groups", groups), ("group_pattern", pattern)) if value is not None
    ]
    if given:
        raise ConfigError("a Dataset is read already", got=", ".join(given), fix="give these to read_dataset")
    return data


def _claim(out: Path | None, dataset: Dataset, data: str | Path | None) -> Path:
    """The audit's folder, made and marked with what is audited. Nothing of another kind is written into."""
    source = str((dataset.root if data is None else Path(data).expanduser()).resolve())
    folder = _free_folder(dataset.name, source) if out is None else out.expanduser()
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file", fix="name a folder for the audit")
    ours = (folder / WORK / _SOURCE).exists() or (folder / AUDIT_FILE).exists()
    if folder.is_dir() and not ours and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} is not empty", got="no audit in it", fix="name a new folder: nothing is overwritten"
        )
    if Path(source).is_dir() and folder.resolve().is_relative_to(Path(source)):
        raise ConfigError(
            f"{folder} lies in the data set, which would then hold it", fix="name a folder beside it"
        )
    write_file(folder / WORK / _SOURCE, f"{source}\n".encode("utf-8", "surrogateescape"))
    return folder


def _free_folder(name: str, source: str) -> Path:
    """``audits/NAME``, or ``audits/NAME-2`` where the first is another data set's of the same name."""
    plain_name = name.replace("/", "-").strip(". ") or "data"
    for number in range(1, 1000):
        folder = Path("audits") / (plain_name if number == 1 else f"{plain_name}-{number}")
        if not folder.exists():
            return folder
        with suppress(OSError):
            held = (folder / WORK / _SOURCE).read_bytes().decode("utf-8", "surrogateescape").strip("\n")
            if held == source:
                return folder
    raise ConfigError("audits/ is full", fix="name a folder: --out FOLDER")


def _examine(dataset: Dataset, config: AuditConfig, folder: Path, progress: Progress) -> Examination:
    from assay.audit.facts import gather_facts  # noqa: PLC0415 - pools of processes: only when one examines

    facts = gather_facts(dataset, folder, config, progress)
    return Examination(dataset, facts, config, folder, progress)


def _walk(examination: Examination, names: Sequence[str]) -> list[Finding]:
    kept = KeptFindings(examination)
    found: list[Finding] = []
    for done, name in enumerate(names):
        examination.progress("checkups", done, len(names))
        earlier = kept.get(name)
        if earlier is not None:
            found += earlier
            continue
        made, failure = _make(name, examination)
        # a failure is not kept: the reason may be gone next time
        found += kept.put(name, made) if failure is None else [*made, failure]
    examination.progress("checkups", len(names), len(names))
    return found


def _make(name: str, examination: Examination) -> tuple[list[Finding], Finding | None]:
    """What one checkup finds, and how it failed, where it did."""
    found: list[Finding] = []
    try:
        checkup: Checkup = CHECKUPS.load(name)
        found.extend(checkup(examination))
    except Exception as error:  # strange data must not cost the other checkups
        if os.environ.get("ASSAY_DEBUG"):
            traceback.print_exc()
        return found, _failure(name, error, examination.folder)
    return found, None


def _failure(name: str, error: Exception, folder: Path) -> Finding:
    """What is told of a checkup that could not be made; a fault of our own leaves its traceback in the work folder."""
    if isinstance(error, AssayError):
        reason, fix = error.what, error.fix or ""
    elif isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("assay"):
        reason, fix = f"this needs {error.name}, which is not installed", 'pip install "assay-vision[train]"'
    else:
        place = folder / f"{name}.failure.txt"
        write_file(place, "".join(traceback.format_exception(error)).encode("utf-8", "backslashreplace"))
        reason, fix = f"{type(error).__name__}: {error}", f"please report it, with {place}"
    what = f"The checkup {name!r} could not be made: {' '.join(reason.split())[:300]}"
    return Finding("note", "checkup-failed", f"Not examined: {name}", what, fix, figures={"checkup": name})
