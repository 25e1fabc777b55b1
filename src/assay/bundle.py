"""The Bundle: network + card in one file, the artefact in which the two wings meet.

A Bundle is a ZIP archive without compression whose comment is the SHA-256 of every byte before it, so a
changed byte is noticed. It is read into memory once, checked, and never unpacked; only the members below are
allowed, each once. Nothing in it can run: JSON, safetensors, text, and a single-file ONNX graph that the
engine checks before it loads it. The same content gives the same bytes.

The checksum notices damage. It is no signature: it does not tell who made the file.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.card import FORMAT, Card
from assay.errors import BundleError, ConfigError
from assay.files import WholeFile

CARD, WEIGHTS, GRAPH, GOLDEN = "card.json", "network.safetensors", "network.onnx", "golden.safetensors"
INT8 = "network.int8.onnx"
"""The graph in 8-bit integers, where the run was exported with it and it passed."""
ABSTENTION = "abstention.safetensors"
"""Reference embeddings and held-out scores; what was promised stands on the card."""

__all__ = ["FORMAT", "Bundle", "Card", "load_bundle", "pack_bundle", "save_bundle", "unpack_bundle"]

_MIB = 1024 * 1024
MEMBERS = {
    CARD: 64 * _MIB,
    WEIGHTS: 2048 * _MIB,
    GRAPH: 2048 * _MIB,
    INT8: 2048 * _MIB,
    GOLDEN: 64 * _MIB,
    ABSTENTION: 256 * _MIB,
    "LICENSE": 4 * _MIB,
    "NOTICE": 4 * _MIB,
}
"""The members that a Bundle may have, in the order of writing, with their greatest size in bytes."""

_LARGEST = 4096 * _MIB - 1
_HEX = 64
_END = b"PK\x05\x06"
_TAIL = 22 + _HEX  # the archive's end record and its comment
_DAMAGED = "copy it again from its source, or export the run again with `assay export`"


@dataclass(frozen=True)
class Bundle:
    """A checked Bundle: its card, its members by name, and the SHA-256 of its bytes as 64 hex digits."""

    card: Card
    members: Mapping[str, bytes]
    digest: str
    path: Path | None = None

    def member(self, name: str) -> bytes:
        """The bytes of one member. Raises BundleError when this Bundle has none of that name."""
        if name not in self.members:
            raise BundleError(
                f"{self.path or 'the Bundle'} has no {name}",
                got=", ".join(self.members),
                fix="export the run again with `assay export`",
            )
        return self.members[name]


class _Members(Mapping[str, bytes]):
    """Name -> bytes, taken out of the archive in memory when asked for."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = {info.filename: info for info in archive.infolist()}

    def __getitem__(self, name: str) -> bytes:
        return self._archive.read(self._names[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def save_bundle(path: str | Path, card: Card, members: Mapping[str, bytes]) -> None:
    """Write a Bundle, whole or not at all; an earlier file is replaced in one step.

    ``path`` is by custom ``something.bundle``; ``members`` holds bytes by name, from ``MEMBERS`` without the card.

    Raises
    ------
    BundleError : a member that a Bundle may not have, or one beyond its size.
    AssayError : the disk is full or the place cannot be written; an earlier file stays.
    """
    data = pack_bundle(card, members)
    with WholeFile(path) as file:
        file.write(data)


def pack_bundle(card: Card, members: Mapping[str, bytes]) -> bytes:
    """The bytes of a Bundle. Raises BundleError as ``save_bundle``."""
    content = {**members, CARD: card.to_json().encode()}
    for name, data in content.items():
        _check_member(name, len(data))
    if sum(map(len, content.values())) + 4096 > _LARGEST:
        raise BundleError("the Bundle would be too large", got="more than 4 GiB")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in MEMBERS:
            if name in content:
                archive.writestr(_entry(name), content[name])
        archive.comment = b"0" * _HEX
    body = memoryview(buffer.getbuffer())[:-_HEX]
    return b"".join((body, hashlib.sha256(body).hexdigest().encode()))


def load_bundle(path: str | Path) -> Bundle:
    """Read and check a Bundle; nothing in it is run, and nothing is written to the disk.

    Raises
    ------
    ConfigError : there is no such file, or it is a folder.
    BundleError : it is no Bundle, damaged, cut short, of a newer format, or holds what a Bundle may not.
    """
    path = Path(path)
    data = _read(path)
    try:
        return unpack_bundle(data, path)
    except BundleError as error:
        raise BundleError(f"{path}: {error.what}", got=error.got, fix=error.fix) from error


def unpack_bundle(data: bytes, path: Path | None = None) -> Bundle:
    """The Bundle in ``data``. Raises BundleError as ``load_bundle``."""
    digest = _check_digest(data)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        infos = archive.infolist()
        card_text = archive.read(CARD) if _is_stored(infos, CARD) else None
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise BundleError("this is no valid Bundle", got=str(error), fix=_DAMAGED) from error
    if card_text is None:
        raise BundleError("this is no Bundle", got="an archive without card.json", fix=_DAMAGED)
    card = Card.from_json(card_text)  # first: a newer format may have members that are not known here
    _check_entries(infos, len(data))
    return Bundle(card, _Members(archive), digest, path)


def _entry(name: str) -> zipfile.ZipInfo:
    """An entry that depends on nothing but its name: the same content gives the same bytes."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system, entry.external_attr = 3, 0o100644 << 16
    return entry


def _read(path: Path) -> bytes:
    if path.is_dir():
        is_run = (path / "run.json").exists() or (path / "card.json").exists()
        raise ConfigError(
            f"{path} is a {'run' if is_run else ''} folder, not a Bundle".replace("  ", " "),
            fix=f"pack it first: `assay export {path} --out {path.name or 'model'}.bundle`"
            if is_run
            else "name the .bundle file that `assay export` wrote",
        )
    if not path.exists():
        raise ConfigError(f"there is no Bundle {path}", fix="check the path; `assay export` writes Bundles")
    if not path.is_file():
        raise ConfigError(f"{path} is no regular file", fix="name a .bundle file")
    if path.stat().st_size > _LARGEST:
        raise BundleError(
            f"{path} is no Bundle", got=f"{path.stat().st_size:,} bytes; a Bundle has less than 4 GiB"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read", got=error.strerror or str(error)) from error


def _check_digest(data: bytes) -> str:
    """The digest that the file states, after comparing it with the file's bytes."""
    tail = data[-_TAIL:]
    has_tail = len(tail) == _TAIL and tail.startswith(_END) and tail[20:22] == _HEX.to_bytes(2, "little")
    if not has_tail and data[:4] != b"PK\x03\x04":
        raise BundleError(
            "this is no Bundle",
            got="an empty file" if not data else f"a file that begins with {data[:8]!r}",
            fix="name the .bundle file that `assay export` wrote",
        )
    if not has_tail:
        raise BundleError("the Bundle is cut short or damaged", got="no checksum at its end", fix=_DAMAGED)
    stated = tail[-_HEX:].decode("ascii", "replace")
    found = hashlib.sha256(memoryview(data)[:-_HEX]).hexdigest()
    if stated != found:
        raise BundleError(
            "the Bundle is damaged: its checksum does not fit",
            got=f"stated {stated[:12]!r}..., found {found[:12]!r}...",
            fix=_DAMAGED,
        )
    return found


def _is_stored(infos: list[zipfile.ZipInfo], name: str) -> bool:
    """Whether there is exactly one such entry, uncompressed and within its limit."""
    found = [info for info in infos if info.filename == name]
    return len(found) == 1 and not _entry_fault(found[0])


def _check_entries(infos: list[zipfile.ZipInfo], size: int) -> None:
    names = [info.filename for info in infos]
    if len(set(names)) != len(names):
        raise BundleError("the Bundle names a member twice", got=", ".join(sorted(names)), fix=_DAMAGED)
    for info in infos:
        _check_member(info.filename, info.file_size)
        if fault := _entry_fault(info):
            raise BundleError(f"the Bundle's {info.filename} is not valid", got=fault, fix=_DAMAGED)
    # members that overlap could say more than the file holds
    if sum(info.file_size for info in infos) > size:
        raise BundleError(
            "the Bundle's members are larger than the file", got=f"{size:,} bytes", fix=_DAMAGED
        )


def _entry_fault(info: zipfile.ZipInfo) -> str | None:
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        return "it is compressed; a Bundle's members are stored as they are"
    if info.flag_bits & ~0x800:  # encrypted, patched or streamed; 0x800 says that the name is UTF-8
        return f"flags {info.flag_bits:#x}"
    return None


def _check_member(name: str, size: int) -> None:
    if name not in MEMBERS:
        raise BundleError(
            f"a Bundle may not hold {name!r}", got=name, fix=f"its members are {', '.join(MEMBERS)}"
        )
    if size > MEMBERS[name]:
        raise BundleError(
            f"the Bundle's {name} is too large", got=f"{size:,} bytes; at most {MEMBERS[name]:,}"
        )
