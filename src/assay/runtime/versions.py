"""Versions of a live policy, in folders that are never changed, and the one link that says which of them decides.

``shop.yaml`` keeps its versions in ``shop.versions/``:

    0002-5c1e09f2a7b3/   policy.yaml, thresholds.json, a Bundle for each question, version.json (who, when, why)
    .live-0002-x4k2/     what is live: policy and thresholds as copies, so that nothing that writes to the live policy
                         (an editor, `assay calibrate`) can reach the version itself
    live                 a link to the folder above; replacing it is the whole switch
    history.jsonl        a line before each switch

and ``shop.yaml`` and ``shop.thresholds.json`` become links through ``live``. A rename is atomic, so whoever reads, and
whatever is killed when, finds policy and thresholds of one version.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.bundle import load_bundle
from assay.decide.budgets import Budgets, read_budgets, thresholds_path
from assay.decide.policy import Policy
from assay.decide.policy_read import parse_policy, read_policy
from assay.errors import AssayError, ConfigError, PolicyError
from assay.files import explain_write, write_file
from assay.runtime.policy_text import policy_text

FORMAT = 1
ENDING = ".versions"
POLICY, THRESHOLDS, VERSION, LIVE, HISTORY = (
    "policy.yaml",
    "thresholds.json",
    "version.json",
    "live",
    "history.jsonl",
)


@dataclass(frozen=True)
class Version:
    """One version of a policy. ``facts`` are those of version.json."""

    folder: Path
    facts: Mapping[str, Any]

    @property
    def number(self) -> int:
        """1 for what was live when the first promotion came."""
        return int(self.facts["number"])

    @property
    def name(self) -> str:
        """Number and digest."""
        return self.folder.name

    @property
    def before(self) -> str | None:
        """The name of the version that was live before it; None for the first."""
        found = self.facts["before"]
        return None if found is None else str(found)

    def bundle(self, question: str) -> Path:
        """The version's own copy of the question's network."""
        return self.folder / str(self.facts["models"][question]["file"])

    def contents(self) -> tuple[bytes, bytes | None]:
        """Policy and thresholds, as they were recorded."""
        beside = self.folder / THRESHOLDS
        return (self.folder / POLICY).read_bytes(), beside.read_bytes() if beside.exists() else None


@dataclass(frozen=True)
class Draft:
    """What becomes a version: the policy's text, where its networks lie now, and its thresholds' bytes."""

    text: bytes
    models: Mapping[str, Path]
    thresholds: bytes | None


def versions_folder(live: Path) -> Path:
    """Beside the policy: shop.yaml has its versions in shop.versions/."""
    return live.with_suffix(ENDING)


@contextlib.contextmanager
def locked(live: Path) -> Iterator[Path]:
    """The folder of versions, while nobody else changes it.

    Raises
    ------
    ConfigError : somebody does; or the policy is no file, or a link that is not ours.
    """
    require_ours(live)
    folder = versions_folder(live)
    try:
        folder.mkdir(exist_ok=True)
        file = (folder / "lock").open("w", encoding="utf-8")
    except OSError as error:
        raise explain_write(folder, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"another promotion or rollback of {live} is under way", fix="wait for it"
            ) from error
        _sweep(live, folder)
        yield folder


def read_versions(live: Path) -> list[Version]:
    """All versions, the earliest first. Raises PolicyError where one cannot be read."""
    folder = versions_folder(live)
    found = sorted(folder.glob(f"[0-9]*-*/{VERSION}")) if folder.is_dir() else []
    return sorted((_read(path.parent) for path in found), key=lambda one: one.number)


def live_version(live: Path) -> Version | None:
    """The version that decides; None before the first promotion."""
    link = versions_folder(live) / LIVE
    if not link.is_symlink():
        return None
    number = link.readlink().name.removeprefix(".live-").partition("-")[0]
    return next((one for one in read_versions(live) if one.name.startswith(f"{number}-")), None)


def read_history(live: Path) -> list[dict[str, Any]]:
    """One mapping a switch: at, who, action, before, after, why, forced."""
    place = versions_folder(live) / HISTORY
    if not place.is_file():
        return []
    found = []
    for line in place.read_text("utf-8").splitlines():
        with contextlib.suppress(ValueError):  # a line that was cut off by a kill: nothing was switched
            found.append(json.loads(line))
    return found


def settle(live: Path, who: str, at: float) -> Version:
    """Make sure that what is live now is recorded, and reached through the link; nothing that is read changes by it.

    Raises
    ------
    PolicyError, BundleError, ConfigError : what is live cannot be read. AssayError : the disk is full.
    """
    now = live_version(live)
    beside = thresholds_path(live)
    text, thresholds = live.read_bytes(), beside.read_bytes() if beside.exists() else None
    if now is None or (text, thresholds) != now.contents():
        policy = read_policy(live)
        draft = Draft(text, {one.name: policy.model_path(one) for one in policy}, thresholds)
        why = "live before the first promotion" if now is None else "changed in its place"
        before = (
            None if now is None else now.before
        )  # what was changed is no step of its own: rollback leaps over it
        now = record(live, policy, draft, who=who, at=at, why=why, before=before)
        switch(live, now, who=who, at=at, action="adopt", why=why)
    folder = versions_folder(live)
    for place in (beside, live):  # the same bytes through the link as without it
        if not place.is_symlink():
            _link(place, Path(folder.name) / LIVE / place.name)
    return now


def record(
    live: Path,
    policy: Policy,
    draft: Draft,
    *,
    who: str,
    at: float,
    why: str,
    before: str | None,
    about: Mapping[str, Any] | None = None,
) -> Version:
    """Write a version's folder, whole or not at all. The policy's own text may name networks anywhere."""
    folder = versions_folder(live)
    number = 1 + max((one.number for one in read_versions(live)), default=0)
    digests = {name: load_bundle(place).digest for name, place in draft.models.items()}
    digest = version_digest(policy, digests, draft.thresholds)
    name = f"{number:04d}-{digest[:12]}"
    beside, stands = folder / f".new-{os.getpid()}", _parsed(draft.text.decode(), live)
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        models = _keep_bundles(folder, beside, draft.models, digests)
        write_file(beside / POLICY, draft.text)
        if draft.thresholds is not None:
            write_file(beside / THRESHOLDS, draft.thresholds)
        facts = {
            "format": FORMAT, "number": number, "digest": digest, "at": at, "who": who, "why": why,
            "before": before,
            "policy": {"name": policy.name, "version": policy.version, "digest": stands.digest},
            "models": models, **(about or {}),
        }  # fmt: skip
        text = json.dumps(facts, indent=1, ensure_ascii=False)
        write_file(beside / VERSION, (text + "\n").encode())
        beside.rename(folder / name)
        _flush(folder)
    except OSError as error:
        raise explain_write(folder, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Version(folder / name, facts)


def draft_of(live: Path, policy: Policy, models: Mapping[str, Path], budgets: Budgets | None) -> Draft:
    """A policy from anywhere as it will stand at ``live``, its networks in the folder of the next version."""
    folder = versions_folder(live)
    number = 1 + max((one.number for one in read_versions(live)), default=0)
    digests = {name: load_bundle(place).digest for name, place in models.items()}
    thresholds = None if budgets is None else plain_thresholds(budgets)
    name = f"{number:04d}-{version_digest(policy, digests, thresholds)[:12]}"
    text = policy_text(policy, {q: folder / name / f for q, f in _names(models).items()}, live.parent)
    return Draft(text.encode(), models, thresholds)


def switch(
    live: Path, version: Version, *, who: str, at: float, action: str, why: str, forced: str | None = None
) -> None:
    """Let a version decide. The line of the history comes first, the link last."""
    folder = versions_folder(live)
    earlier = live_version(live)
    work = folder / f".live-{version.name.partition('-')[0]}-{secrets.token_hex(4)}"
    text, thresholds = version.contents()
    try:
        work.mkdir()
        write_file(work / live.name, text)
        if thresholds is not None:
            write_file(work / thresholds_path(live).name, thresholds)
        _flush(work)
        before = None if earlier is None else earlier.name
        line = {"at": at, "who": who, "action": action, "before": before, "after": version.name, "why": why}
        _note(folder, {**line, "forced": forced})
        _link(folder / LIVE, Path(work.name))
    except OSError as error:
        raise explain_write(folder, error) from error
    _sweep(live, folder)


def _sweep(live: Path, folder: Path) -> None:
    """Take away what an earlier attempt left when it was killed, and what is live no longer."""
    link = folder / LIVE
    used = link.readlink().name if link.is_symlink() else ""
    for left in [*folder.glob(".live-*"), *folder.glob(".new-*")]:
        if left.name != used:
            shutil.rmtree(left, ignore_errors=True)
    told = {str(row[side]) for row in read_history(live) for side in ("before", "after")}
    number = used.removeprefix(".live-").partition("-")[0]
    if any(name.startswith(f"{number}-") for name in told) if used else not live.is_symlink():
        for path in folder.glob(f"[0-9]*-*/{VERSION}"):  # recorded, and the kill came before it could decide
            if path.parent.name not in told:
                shutil.rmtree(path.parent, ignore_errors=True)
    for name, place in ((LIVE, folder), (live.name, live.parent), (thresholds_path(live).name, live.parent)):
        for left in place.glob(f".{glob.escape(name)}.*.link"):
            left.unlink(missing_ok=True)


def is_intact(live: Path, version: Version) -> bool:
    """Whether the networks that the version's policy names are still those that it was recorded with."""
    policy = _parsed(version.contents()[0].decode(), live)
    for question in policy:
        try:
            found = load_bundle(policy.model_path(question)).digest
        except AssayError:  # gone, or damaged
            return False
        if found != version.facts["models"][question.name]["sha256"]:
            return False
    return True


def version_digest(policy: Policy, models: Mapping[str, str], thresholds: bytes | None) -> str:
    """SHA-256 over what a version decides by, wherever its files lie."""
    told = {**asdict(policy), "path": None}
    told["questions"] = [{**one, "model": models[one["name"]]} for one in told["questions"]]
    if policy.references_path is not None:
        told["matching"]["references"] = policy.references_path.name
    kinds: Any = None
    if thresholds is not None:
        try:
            kinds = {name: value for name, value in json.loads(thresholds).items() if name != "rules"}
        except (
            ValueError,
            AttributeError,
        ):  # what lies there is no thresholds file: another one, all the same
            kinds = hashlib.sha256(thresholds).hexdigest()
    text = json.dumps([told, kinds], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def budgets_of(version: Version) -> Budgets | None:
    """The thresholds of a version; None where it had none."""
    place = version.folder / THRESHOLDS
    return read_budgets(place) if place.exists() else None


def plain_thresholds(budgets: Budgets) -> bytes:
    """The bytes of a thresholds file."""
    return (json.dumps(budgets.to_dict(), indent=2, ensure_ascii=False) + "\n").encode()


def _parsed(text: str, live: Path) -> Policy:
    """The policy of a text as if it stood at ``live``; it was read, and its examples tried, where it came from."""
    import yaml  # noqa: PLC0415 - 20 ms

    return parse_policy(yaml.safe_load(text), str(live), live)


def _names(models: Mapping[str, Path]) -> dict[str, str]:
    """Question -> the file of its network in a version's folder; questions that share a network share the file."""
    first: dict[Path, str] = {}
    for question, place in models.items():
        first.setdefault(place.resolve(), f"{_safe(question)}.bundle")
    return {question: first[place.resolve()] for question, place in models.items()}


def _safe(question: str) -> str:
    plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in question)
    return plain if plain == question else f"{plain}-{hashlib.sha256(question.encode()).hexdigest()[:6]}"


def _keep_bundles(
    folder: Path, beside: Path, models: Mapping[str, Path], digests: Mapping[str, str]
) -> dict[str, Any]:
    """Networks of earlier versions are linked, for nobody writes there; all others are copied."""
    for question, name in _names(models).items():
        source, place = models[question], beside / name
        if place.exists():
            continue
        try:
            if not source.resolve().is_relative_to(folder.resolve()):
                raise OSError
            place.hardlink_to(source.resolve())
        except OSError:
            write_file(place, source.read_bytes())
    return {q: {"file": name, "sha256": digests[q]} for q, name in _names(models).items()}


def _link(place: Path, target: Path) -> None:
    """Let ``place`` lead to ``target`` from now on, in one step."""
    beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}.link")
    try:
        beside.symlink_to(target)
        beside.replace(place)
        _flush(place.parent)
    except OSError as error:
        raise explain_write(place, error) from error
    finally:
        beside.unlink(missing_ok=True)


def _note(folder: Path, line: Mapping[str, Any]) -> None:
    with (folder / HISTORY).open("a", encoding="utf-8") as file:
        file.write(json.dumps(dict(line), ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(folder: Path) -> Version:
    try:
        facts = json.loads((folder / VERSION).read_text("utf-8"))
        if facts["format"] != FORMAT or f"{facts['number']:04d}-{facts['digest'][:12]}" != folder.name:
            raise ValueError("another format, or another name")
        return Version(folder, facts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PolicyError(
            f"{folder} is no version of a policy", got=f"{type(error).__name__}: {error}"[:200]
        ) from error


def require_ours(live: Path) -> None:
    """Refuse what is no file, or a link to somewhere else. Raises PolicyError or ConfigError."""
    if not live.is_file():
        raise PolicyError(f"{live} is no file", fix="name the live policy")
    ours = versions_folder(live).name
    if live.is_symlink() and live.readlink().parts[:2] != (ours, LIVE):
        raise ConfigError(
            f"{live} is a link that Assay did not make",
            got=str(live.readlink()),
            fix="name the file behind it",
        )
