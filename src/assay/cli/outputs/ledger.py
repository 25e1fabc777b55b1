"""Output files of a long walk, and the book that says how far they are: what a killed run goes on from.

Every second or so, at the end of a batch, all files are brought to the disk, and then a line is added to the book: how
many pictures are done, the last one's name, and where each file stood. To go on, files are cut back to where the last
whole line says, that many pictures are skipped, and the last one of them must have the name that was written down.
Batches begin where they would have begun, so the result is the same file, byte for byte, as that of an unbroken run.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from assay.errors import AssayError, ConfigError
from assay.files import explain_write
from assay.photos import Source, name_of

try:
    import fcntl
except ImportError:  # Windows has no flock: two runs into one file are then not noticed
    fcntl = None  # type: ignore[assignment]

_EVERY_S = 1.0
_FORMAT = 1


class Answer(Protocol):
    """What is written down of a picture: a Prediction, or a Decision."""

    @property
    def path(self) -> str:
        """What the picture is called."""
        ...

    @property
    def error(self) -> str | None:
        """Why it could not be read, where it could not."""
        ...


class Output(Protocol):
    """One file of answers."""

    path: Path
    """Its final name."""

    @property
    def has_part(self) -> bool:
        """Whether something lies there that has not got its final name."""
        ...

    def open(self, at: Mapping[str, int] | None) -> None:
        """Begin anew, or go on from where ``position`` said it was."""
        ...

    def write(self, answer: Any, /) -> None:
        """Add one picture."""
        ...

    def position(self) -> dict[str, int]:
        """What is needed to go on from here; all that was written is on the disk."""
        ...

    def finish(self) -> None:
        """Make it whole, under its final name."""
        ...

    def close(self) -> None:
        """Let go of it; what was written stays beside the final name."""
        ...

    def discard(self) -> None:
        """Take away what was written."""
        ...


class Ledger:
    """The files of one walk, for ``with``. Without files it does nothing.

    Parameters
    ----------
    outputs : the files, in the order in which they are written.
    about : plain values that must be the same when an unfinished walk is taken up: Bundle, pictures, options.
    batch : pictures of a batch; only whole batches are written down.
    resume : go on with an unfinished walk, where there is one.
    overwrite : replace files that are there, and forget an unfinished walk.

    Attributes
    ----------
    done : pictures that were answered before, to be skipped.
    failed : pictures that could not be read, those of the earlier walk among them.
    is_whole : all pictures are answered; only the files had not got their names.

    Raises
    ------
    ConfigError : two files of one name; files are there already, or an unfinished walk, and neither ``resume`` nor
        ``overwrite`` was asked for; an unfinished walk of another Bundle, of other pictures or options; another process
        is writing them.
    AssayError : the disk is full, or the place cannot be written.
    """

    def __init__(
        self,
        outputs: Sequence[Output],
        about: Mapping[str, Any],
        *,
        batch: int,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self._outputs, self._batch = outputs, batch
        self._about = {"format": _FORMAT, **about, "batch": batch, "files": [str(o.path) for o in outputs]}
        if len({os.path.realpath(o.path) for o in outputs}) < len(outputs):
            raise ConfigError("two kinds of output have one name", got=", ".join(self._about["files"]))
        self._book = _book_of(outputs[0].path) if outputs else Path()
        self.done, self.failed, self.is_whole, self._last = 0, 0, False, ""
        self._before: dict[str, Any] | None = None
        self._lock: IO[bytes] | None = None
        if outputs:
            if self._book.is_file():
                self._lock = self._locked("r+b")
            try:
                self._look(resume=resume, overwrite=overwrite)
            except BaseException:
                self._unlock()
                raise
        self._written, self._noted_at = self.done, time.monotonic()
        self._lines: Any = None
        self._newest = self._last

    def _locked(self, mode: str) -> IO[bytes]:
        """The book, opened; no other process has it while it is open here."""
        try:
            file: IO[bytes] = self._book.open(mode)
        except FileExistsError:
            raise self._in_use() from None
        except OSError as error:
            raise explain_write(self._outputs[0].path, error) from error
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.close()
                raise self._in_use() from error
        return file

    def _in_use(self) -> ConfigError:
        return ConfigError(
            f"another run is writing {self._outputs[0].path}", fix="wait for its end, or choose another name"
        )

    def _look(self, *, resume: bool, overwrite: bool) -> None:
        there = [str(o.path) for o in self._outputs if o.path.exists()]
        unfinished = _last_line(self._book) if self._book.is_file() else {}
        if resume and unfinished:
            self._require_same()
            self._before = unfinished
            self.done, self._last = unfinished["done"], unfinished["last"]
            self.failed = int(unfinished.get("failed", 0))
            self.is_whole = bool(unfinished.get("whole"))
        elif resume and there and not unfinished:
            raise ConfigError(
                f"{there[0]} is there already, and no unfinished run lies beside it",
                fix="it is complete as it is; replace it with --overwrite, or choose another name",
            )
        elif not overwrite and unfinished:
            raise ConfigError(
                f"an unfinished run lies beside {self._outputs[0].path}",
                got=f"{unfinished['done']:,} pictures done",
                fix="go on with --resume, or start anew with --overwrite",
            )
        elif there and not overwrite:
            raise ConfigError(
                f"{there[0]} is there already", fix="choose another name, or replace it with --overwrite"
            )

    def _require_same(self) -> None:
        head = _first_line(self._book)
        for name, value in self._about.items():
            if head.get(name) != value:
                raise ConfigError(
                    f"the unfinished run beside {self._outputs[0].path} is not this one",
                    got=f"{name} was {head.get(name)!r}, now {value!r}"[:300],
                    fix="repeat the earlier command with --resume, or start anew with --overwrite",
                )

    def skip(self, sources: Iterator[Source], passed: Callable[[str], Any] | None = None) -> Iterator[Source]:
        """The sources without those that are done, whose names ``passed`` is told.

        Raises
        ------
        ConfigError : the last one of them has another name than before: the pictures changed.
        """
        last = ""
        for n in range(self.done):
            source = next(sources, None)
            if source is None:
                raise ConfigError(
                    "pictures of the unfinished run are gone", got=f"{n:,} of {self.done:,} are left"
                )
            last = name_of(source)
            if passed is not None:
                passed(last)
        if self.done and last != self._last:
            raise ConfigError(
                f"picture {self.done:,} is another one than before",
                got=f"{last}, it was {self._last}",
                fix="put the pictures back as they were, or start anew with --overwrite",
            )
        return sources

    def __enter__(self) -> Self:
        if not self._outputs:
            return self
        if self.is_whole:
            self._finish_rest()
            return self
        positions = self._before["at"] if self._before else [None] * len(self._outputs)
        opened = []
        try:
            for output, at in zip(self._outputs, positions, strict=True):
                output.open(at)
                opened.append(output)
            self._open_book()
        except BaseException:
            self._leave(opened)
            raise
        return self

    def _leave(self, outputs: Sequence[Output]) -> None:
        """Let go of what is open: kept where there is something to go on from, else taken away."""
        if self._lines is not None:
            with contextlib.suppress(OSError):
                self._lines.close()
        if self.done:
            _for_all(outputs, lambda output: output.close())
        else:
            _for_all(outputs, lambda output: output.discard())
            self._book.unlink(missing_ok=True)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _open_book(self) -> None:
        try:
            if self._lock is None:
                self._lock = self._locked("xb")
            if self._before is None:
                self._lines = self._book.open("wb")
                self._note(self._about)
            else:
                _cut_to_whole_lines(self._book)
                self._lines = self._book.open("ab")
        except OSError as error:
            raise explain_write(self._outputs[0].path, error) from error

    def write(self, answer: Answer) -> None:
        """Add one picture to every file."""
        if not self._outputs:
            return
        for output in self._outputs:
            output.write(answer)
        self._newest = answer.path
        self.failed += answer.error is not None
        self._written += 1
        if self._written % self._batch == 0 and time.monotonic() - self._noted_at >= _EVERY_S:
            self._keep(answer.path)

    def _keep(self, last: str, *, whole: bool = False) -> None:
        at = [output.position() for output in self._outputs]
        line = {"done": self._written, "failed": self.failed, "last": last, "at": at}
        self._note(line | ({"whole": True} if whole else {}))
        self.done, self._noted_at = self._written, time.monotonic()

    def _note(self, line: Mapping[str, Any]) -> None:
        try:
            self._lines.write(json.dumps(line).encode() + b"\n")
            self._lines.flush()
            os.fsync(self._lines.fileno())
        except OSError as error:
            raise explain_write(self._outputs[0].path, error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lines is None:
            return
        if kind is not None:
            self._leave(self._outputs)
            return
        try:
            self._keep(self._newest, whole=True)
            for output in self._outputs:
                output.finish()
            self._book.unlink(missing_ok=True)
        finally:
            self._lines.close()
            _for_all(self._outputs, lambda output: output.close())
            self._unlock()

    def _finish_rest(self) -> None:
        """Give their names to the files that have none yet: the earlier run was stopped while it did so."""
        assert self._before is not None
        try:
            for output, at in zip(self._outputs, self._before["at"], strict=True):
                if output.has_part:
                    output.open(at)
                    output.finish()
            self._book.unlink(missing_ok=True)
        finally:
            self._unlock()

    @property
    def kept(self) -> str | None:
        """A sentence on what an unfinished walk leaves behind; None where it leaves nothing."""
        if not self._outputs or not self.done:
            return None
        return f"{self.done:,} pictures are kept; go on with the same command and --resume"


def _for_all(outputs: Sequence[Output], act: Callable[[Output], None]) -> None:
    for output in outputs:
        try:
            act(output)
        except (AssayError, OSError):  # what brought us here is told, and it is often the same
            continue


def _book_of(path: Path) -> Path:
    final = Path(os.path.realpath(path))
    return final.with_name(f"{final.name}.resume")


def _first_line(book: Path) -> dict[str, Any]:
    with book.open("rb") as file:
        return _parsed(file.readline())


def _last_line(book: Path) -> dict[str, Any]:
    """The last whole line with a count; empty where nothing was done."""
    found: dict[str, Any] = {}
    with book.open("rb") as file:
        for line in file:
            told = _parsed(line)
            found = told if "done" in told else found
    return found


def _cut_to_whole_lines(book: Path) -> None:
    with book.open("r+b") as file:
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
