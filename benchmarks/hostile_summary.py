"""The table of ``benchmarks.hostile_uploads``: one row a kind of file, the newest run of each."""

from __future__ import annotations

from typing import Any


def table(lines: list[dict[str, Any]]) -> list[str]:
    """Lines of Markdown."""
    newest = {line["kind"]: line for line in lines if line.get("benchmark") == "hostile_uploads"}
    head = ["files", "number", "read as pictures", "refused in words", "ended their decoder", "slowest, s",
            "peak memory, MiB", "next good photo lost", "over 3 s"]  # fmt: skip
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for kind, line in newest.items():
        ended = sum(line["ended_the_decoder"].values())
        slowest = max(line["slowest_s"].values(), default=0.0)
        cells = [
            kind,
            f"{line['files']:,}",
            f"{line['read']:,}",
            f"{line['refused']:,}",
            f"{ended:,}",
            f"{slowest:.2f}",
            f"{line['peak_mib']:.0f}",
            f"{line['next_good_photo_lost']:,}",
            f"{len(line['over_3_s']):,}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows
