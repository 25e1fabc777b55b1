"""Every error a user can meet. Each says what is wrong, what was got and how to mend it.

``exit_code`` is what the command line returns: 2 when the request itself cannot be taken (an unknown
option, model or path), 1 when the work failed.
"""

from __future__ import annotations


class AssayError(Exception):
    """An expected failure, told in one message.

    Parameters
    ----------
    what : the fact, naming the thing ("labels.csv has no column 'label'").
    got : what was found instead ("columns: path, class").
    fix : what the user can do ("name it with --label-column class").
    """

    exit_code = 1

    def __init__(self, what: str, *, got: str | None = None, fix: str | None = None) -> None:
        super().__init__(what, got, fix)
        self.what, self.got, self.fix = what, got, fix

    def __str__(self) -> str:
        parts = [
            self.what,
            f"got: {self.got}" if self.got else None,
            f"fix: {self.fix}" if self.fix else None,
        ]
        return "\n  ".join(part for part in parts if part)


class ConfigError(AssayError):
    """The request cannot be taken: an unknown name, a value out of range, a path that does not exist."""

    exit_code = 2


class DatasetError(AssayError):
    """The data set is broken, empty or contradicts itself."""


class ImageError(AssayError):
    """One picture cannot be read within the limits."""


class ModelError(AssayError):
    """A network cannot be built, loaded or trained."""


class ExportError(AssayError):
    """An export is refused or failed."""


class BundleError(AssayError):
    """A Bundle is damaged, unknown or newer than this program."""


class PolicyError(AssayError):
    """A policy, its thresholds or a record of a decision contradicts itself or cannot be read."""

    exit_code = 2
