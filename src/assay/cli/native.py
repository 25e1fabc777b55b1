"""Keeps the chatter of decoders away from the user's terminal.

libtiff writes to file descriptor 2 by itself ("Fax4Decode: Bad code word at line 27"), and Pillow logs a line
for some damaged files: between our own lines and without the name of a file. What matters in it reaches us as an
error of the picture.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_native() -> Iterator[None]:
    """Inside, ``sys.stderr`` writes as before, but descriptor 2 and logs that nobody handles lead nowhere.

    Does nothing where stderr is not descriptor 2 (a notebook, a test) or is closed, and with ``ASSAY_DEBUG``.
    """
    stream = sys.stderr
    if os.environ.get("ASSAY_DEBUG") or not _is_descriptor_2(stream):
        yield
        return
    unheard = logging.NullHandler()
    logging.root.addHandler(unheard)
    stream.flush()
    kept = os.dup(2)
    own = open(kept, "w", buffering=1, encoding=stream.encoding, errors=stream.errors, closefd=False)  # noqa: SIM115
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
    sys.stderr = own
    try:
        yield
    finally:
        logging.root.removeHandler(unheard)
        sys.stderr = stream
        os.dup2(kept, 2)
        with contextlib.suppress(OSError):  # a reader of stderr that left
            own.close()
        os.close(kept)


def _is_descriptor_2(stream: object) -> bool:
    try:
        return bool(stream.fileno() == 2)  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False
