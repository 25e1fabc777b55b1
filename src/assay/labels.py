"""Class names: ordered and unique. The order is the index, so it lives in every artefact."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from assay.errors import ConfigError, DatasetError


class ClassNames(Sequence[str]):
    """Ordered, unique class names (Unicode NFC); ``names[i]`` is class i.

    Raises
    ------
    DatasetError : a name is empty or occurs twice.
    """

    __slots__ = ("_index", "_names")

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(unicodedata.normalize("NFC", name) for name in names)
        self._index = {name: i for i, name in enumerate(self._names)}
        if "" in self._index:
            raise DatasetError("a class name is empty", fix="give every class a name")
        if len(self._index) != len(self._names):
            twice = sorted({n for n in self._names if self._names.count(n) > 1})
            raise DatasetError(f"class names occur twice: {', '.join(twice)}", fix="make class names unique")

    @overload
    def __getitem__(self, i: int) -> str: ...
    @overload
    def __getitem__(self, i: slice) -> tuple[str, ...]: ...
    def __getitem__(self, i: int | slice) -> str | tuple[str, ...]:
        return self._names[i]

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClassNames) and self._names == other._names

    def __hash__(self) -> int:
        return hash(self._names)

    def __repr__(self) -> str:
        shown = ", ".join(self._names[:6]) + (", ..." if len(self) > 6 else "")
        return f"ClassNames({len(self)}: {shown})"

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def position(self, name: str) -> int:
        """The index of ``name``. Raises ConfigError when there is no such class."""
        try:
            return self._index[name]
        except KeyError:
            raise ConfigError(
                f"no class is called {name!r}", got=f"{len(self)} classes: {', '.join(self._names[:8])}"
            ) from None

    @property
    def digest(self) -> str:
        """16 hex digits that change when a name or the order changes."""
        return hashlib.blake2b("\0".join(self._names).encode(), digest_size=8).hexdigest()
