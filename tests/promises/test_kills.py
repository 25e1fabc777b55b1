"""A photo that was accepted is never lost and gets exactly one live verdict, whatever is killed and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.kills import kill_and_count
from tests.postgres import new_database, postgres_server
from tests.served import served

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_no_accepted_photo_is_lost_or_decided_twice(shapes_policy: Path, tmp_path: Path, kind: str) -> None:
    if kind == "sqlite":
        with served(shapes_policy, tmp_path / "home") as server:
            found = kill_and_count(server, 15, seed=1)
    else:
        with postgres_server() as address:
            own = new_database(address)
            with served(shapes_policy, tmp_path / "home", "--database", own) as server:
                found = kill_and_count(server, 15, seed=2, database=own)
    assert found.taken > 10
    assert (found.lost, found.twice, found.undecided, found.faults) == (0, 0, 0, 0), found
