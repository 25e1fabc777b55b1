"""The map of held-out pictures and the neighbours of mistakes, as values for the page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from assay.explain.run_map import read_run_map, read_run_neighbours
from assay.report.findings import percent
from assay.report.map_chart import map_svg
from assay.report.map_file import small_pictures
from assay.report.map_layout import lay_out
from assay.report.thumbnails import thumbnails

TWIN = 0.97
"""Above this cosine two pictures are nearly the same to the network."""
SHOWN = 6


def map_section(folder: Path) -> dict[str, Any] | None:
    """The map as SVG with sentences on how far it may be believed; None where none was made for these weights."""
    found = read_run_map(folder)
    if found is None or not found["points"]:
        return None
    points, scores = found["points"], found["scores"]
    layout = lay_out(
        np.array([[p["x"], p["y"]] for p in points], np.float32),
        [p["label"] for p in points],
        [p["prediction"] for p in points],
        [p["path"] for p in points],
        title=f"Map of {len(points)} held-out pictures; those answered wrongly are ringed",
    )
    root = Path(found.get("root") or "")
    small = small_pictures(layout, [root / p["path"] for p in points])
    return {
        "svg": Markup(map_svg(layout, small)),
        "shown": scores["shown"],
        "total": scores["total"],
        "method": scores["method"],
        "trust": trust_sentences(scores),
        "without_pictures": not small,
    }


def trust_sentences(scores: dict[str, Any]) -> list[str]:
    """What the scores of a map mean, in words."""
    if scores["method"] == "none":
        return ["The network sees no difference between these pictures, so there is nothing to map."]
    found = []
    trust = scores["trustworthiness"]
    if trust is not None:
        word = "can" if trust >= 0.9 else "can roughly" if trust >= 0.8 else "cannot"
        found.append(f"Who stands close together {word} be believed (trustworthiness {trust:.2f} of 1).")
    if scores["knn_full"] is not None and scores["knn_map"] is not None:
        lost = scores["knn_full"] - scores["knn_map"]
        found.append(
            f"In the network's own space, the {scores['k']} nearest pictures name the right class of "
            f"{percent(scores['knn_full'], 0)}; on this flat map of {percent(scores['knn_map'], 0)}"
            + (": the map shows more disorder than there is." if lost > 0.08 else ".")
        )
    return found


def neighbour_section(folder: Path) -> dict[str, Any] | None:
    """The surest mistakes, each with the training pictures that look most alike to the network, and what follows."""
    found = read_run_neighbours(folder)
    if found is None or not found["mistakes"]:
        return None
    root, mistakes = Path(found.get("root") or ""), found["mistakes"][:SHOWN]
    files = [root / m["path"] for m in mistakes]
    files += [root / n["path"] for m in mistakes for n in m["neighbours"]]
    drawn = thumbnails(files, side=180)
    own, others = drawn[: len(mistakes)], iter(drawn[len(mistakes) :])
    rows = [
        {
            "picture": picture,
            "path": m["path"],
            "label": m["label"],
            "answer": m["prediction"],
            "sure": percent(m["confidence"], 0),
            "told": explain_mistake(m),
            "neighbours": [_neighbour(n, m, next(others)) for n in m["neighbours"]],
        }
        for m, picture in zip(mistakes, own, strict=True)
    ]
    return {"rows": rows, "among": found["among"]}


def _neighbour(n: dict[str, Any], mistake: dict[str, Any], picture: str | None) -> dict[str, Any]:
    kind = "bad" if n["label"] == mistake["prediction"] else "good" if n["label"] == mistake["label"] else ""
    return {**n, "picture": picture, "kind": kind, "similarity": f"{n['similarity']:.2f}"}


def explain_mistake(mistake: dict[str, Any]) -> str:
    """One sentence: what the neighbours say of a mistake."""
    label, answer, alike = mistake["label"], mistake["prediction"], mistake["neighbours"]
    if not alike:
        return "There is no training picture to compare it with."
    first = alike[0]
    if first["similarity"] >= TWIN and first["label"] in (answer, label):
        told = f"Nearly the same picture was trained on as “{first['label']}”"
        wrong = first["label"] == answer
        return (
            f"{told}: one of the two labels may be wrong." if wrong else f"{told}, and still it fails here."
        )
    return _by_votes(label, answer, Counter(n["label"] for n in alike))


def _by_votes(label: str, answer: str, votes: Counter[str]) -> str:
    n, most = votes.total(), max(votes[answer], votes[label])
    if votes[answer] == votes[label] == most > 0:
        return f"As many of the most alike are “{label}” as “{answer}”: it stands where the two classes meet."
    if 2 * most < n:
        named = "class" if len(votes) == 1 else "classes"
        return f"The most alike are of {len(votes)} {named}, neither of these two leads: it has seen few like this."
    told = f"{most} of the {n} training pictures most like it are"
    if votes[answer] == most:
        return f"{told} “{answer}”: to the network it looks like those."
    return f"{told} “{label}”: it sees the likeness, and still weighs it wrongly."
