"""A mapping in a policy's file, read strictly: every mistake is told with its place, and nothing is guessed."""

from __future__ import annotations

from typing import Any

from assay.errors import PolicyError
from assay.tables import suggest


def is_share(value: Any) -> bool:
    """Whether it is a number from 0 to 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


class Part:
    """A mapping of the file, and ``where`` it stands; ``known`` are the keys it may have.

    Raises
    ------
    PolicyError : here and in every method: no mapping, an unknown key, a value that is missing or wrong.
    """

    def __init__(self, told: Any, where: str, known: tuple[str, ...]) -> None:
        self.where = where
        if not isinstance(told, dict):
            raise PolicyError(f"{where} is no mapping", got=repr(told)[:80], fix="write key: value lines")
        self._told = {str(key): value for key, value in told.items()}
        for key in self._told:
            if key not in known:
                raise PolicyError(f"{where}: unknown key {key!r}", fix=suggest(key, list(known)))

    _NEEDED = object()

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._told

    def get(self, key: str, kind: Any, default: Any = _NEEDED) -> Any:
        """A value of this kind."""
        if key not in self._told:
            if default is self._NEEDED:
                raise PolicyError(f"{self.where}: {key} is missing")
            return default
        value = self._told[key]
        is_flag = isinstance(value, bool) and kind is not bool  # YAML's yes is no number and no text
        if is_flag or not isinstance(value, kind) or (isinstance(value, int) and value < 0):
            raise PolicyError(f"{self.where}: {key} has a wrong value", got=repr(value)[:80])
        return value

    def share(self, key: str, default: float | None = None, *, open_end: bool = True) -> float:
        """A number between 0 and 1; 0 and 1 themselves only where ``open_end`` is False."""
        value = self._told.get(key, default)
        if value is None:
            raise PolicyError(f"{self.where}: {key} is missing", fix="give a share, e.g. 0.01 for 1 in 100")
        if not is_share(value) or (open_end and not 0 < value < 1):
            bounds = "above 0 and below 1" if open_end else "from 0 to 1"
            raise PolicyError(f"{self.where}: {key} must be {bounds}", got=repr(value)[:80])
        return float(value)

    def mapping(self, key: str) -> dict[str, Any]:
        """A mapping with keys of any name."""
        value = self._told.get(key)
        if not isinstance(value, dict):
            raise PolicyError(f"{self.where}: {key} is no mapping", got=repr(value)[:80])
        return value

    def parts(self, key: str, known: tuple[str, ...]) -> dict[str, Part]:
        """The mappings in a mapping; empty where there is none."""
        if key not in self._told:
            return {}
        return {str(k): Part(v, f"{self.where}: {key}.{k}", known) for k, v in self.mapping(key).items()}

    def list(self, key: str) -> list[Any]:
        """A list; empty where there is none."""
        value = self._told.get(key, [])
        if not isinstance(value, list):
            raise PolicyError(f"{self.where}: {key} is no list", got=repr(value)[:80])
        return value

    def numbers(self, key: str, known: tuple[str, ...]) -> dict[str, float]:
        """A mapping of names to numbers of 0 and above."""
        if key not in self._told:
            return {}
        part = Part(self.mapping(key), f"{self.where}: {key}", known)
        return {name: float(part.get(name, (int, float))) for name in part._told}

    def require_known(self, key: str, found: Any, known: tuple[str, ...]) -> None:
        """Refuse names that are none of these."""
        for name in found:
            if name not in known:
                raise PolicyError(f"{self.where}: {key}.{name} is no verdict", fix=suggest(name, list(known)))
