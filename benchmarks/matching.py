"""Are photos of known fakes found again, and is nothing else?

The rendered shop has its fakes planted: photos whose mark is spoiled. The first of them are enrolled. Then

- every edit of ``matching_edits`` is made of some of them, saved as a JPEG and matched: the share that is found is the
  edit's recall (``near`` of a policy: rejected), and the share that a person is shown at least;
- every other photo of the *same* shop (same sellers, same walls, same kinds of goods, other fakes among them) is
  matched too, and nothing may be found. Nothing is written but how near the nearest came.

Real photos are matched the same way: phone photos of clothing, enrolled and edited, against the rest of them and of
four other sets; and close-ups of sneakers, each against all others.

Bounds are chosen by the part *validation*, on shops of other seeds and other clothing; the part *test* is looked at
after that. Whoever changes bits, views or the overlay must look again.

    python -m benchmarks.matching --part validation       with chosen bounds: how far from them things are
    python -m benchmarks.matching                         the test, an hour or two; goes on where it was stopped
    python -m benchmarks.matching --part time
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from assay.data.shop.scene import render_picture
from assay.data.shop.sellers import SHOP
from assay.decide.evidence import photo_digest
from assay.decide.match import FAKE
from assay.decide.overlay import MOST_APART
from assay.decide.policy import Matching
from assay.decide.prints import asked, prints_of
from assay.decide.reference import Reference
from assay.decide.references import References
from assay.decide.shelf import MOST_BITS, MOST_LOW_BITS, Shelf
from assay.decide.views import VIEWS
from assay.files import write_file
from assay.metrics.interval import wilson
from assay.runtime.photo_prints import photo_prints
from benchmarks.machine import RESULTS, ROOT, SHARED, append_line, stamp
from benchmarks.matching_edits import EDITS, save

Line = dict[str, Any]
Photos = Iterable[tuple[str, bytes]]
SIZE = 192
SEEDS = {"validation": 101, "test": 202}
OTHER_SETS = ("grocery", "ccp", "nonproduct", "tiny-coco")
_CHUNK = 500
NEAR = Matching("").near
_NOTHING = 9.0
"""How far apart two photos are of which prints do not find one by the other."""


@dataclass
class Bench:
    """Where things are kept: ``runs`` for what can be made again, ``out`` for result lines."""

    runs: Path
    out: Path
    part: str

    def line(self, job: str, **told: Any) -> None:
        """Write one result down and say it."""
        bounds = {
            "near": NEAR,
            "most_apart": MOST_APART,
            "most_bits": MOST_BITS,
            "most_low_bits": MOST_LOW_BITS,
        }
        found = {"job": f"{self.part}/{job}", "part": self.part, **told, "bounds": bounds, **stamp()}
        append_line(self.out, found)
        print(json.dumps({key: found[key] for key in ("job", *told)}), flush=True)

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """What ``make`` gives, from the folder of runs where it was made before with the same bits and views."""
        place = self.runs / f"{self.part}-{_code()}" / f"{name}.json"
        if place.exists():
            return json.loads(place.read_text("utf-8"))
        found = make()
        write_file(place, json.dumps(found).encode())
        return found


def shop_photos(seed: int) -> Iterator[tuple[int, str, bytes]]:
    """(number, genuine | suspect | none, JPEG) of a rendered shop, without an end."""
    number = 0
    while True:
        picture = render_picture(seed, SHOP, number, SIZE)
        yield number, picture.genuine, picture.jpeg
        number += 1


def planted(seed: int, many: int) -> list[tuple[str, bytes]]:
    """The first fakes of a shop, by number."""
    found: list[tuple[str, bytes]] = []
    for number, genuine, data in shop_photos(seed):
        if len(found) == many:
            return found
        if genuine == "suspect":
            found.append((str(number), data))
    return found


def enrolled(photos: Photos) -> References:
    references = References()
    for _, data in photos:
        references.add(Reference(photo_digest(data), FAKE), photo_prints(data))
    return references


def measure_edits(bench: Bench, name: str, references: References, photos: list[tuple[str, bytes]]) -> None:
    """One line an edit: how many are found, and how many of those as another photo."""
    for row, (edit, change) in enumerate(EDITS.items()):

        def rows(row: int = row, change: Any = change) -> list[Any]:
            found = []
            for number, (_, data) in enumerate(photos):
                again = save(change(_decoded(data), np.random.default_rng([7, row, number])))
                own, others = _NOTHING, _NOTHING
                for one, overlay in references.compared(photo_prints(again)):
                    if one.photo == photo_digest(data):
                        own = min(own, overlay.apart)
                    else:
                        others = min(others, overlay.apart)
                found.append([round(own, 4), round(others, 4)])
            return found

        apart = np.array(bench.kept(f"{name}-{len(references)}-edit-{row}", rows))
        hits = int((apart[:, 0] <= NEAR).sum())
        interval = wilson(hits, len(apart))
        bench.line(
            f"{name}/{edit}",
            kind="recall",
            edit=edit,
            data=name,
            enrolled=len(references),
            n=len(apart),
            found=hits,
            recall=round(interval.value, 4),
            low=round(interval.low, 4),
            high=round(interval.high, 4),
            perhaps=int((apart[:, 0] <= MOST_APART).sum()),
            others=int((apart[:, 1] <= NEAR).sum()),
            candidates=int((apart[:, 0] < _NOTHING).sum()),
            apart=[round(float(v), 3) for v in np.quantile(apart[:, 0], [0.5, 0.9, 0.95, 0.99])],
        )


def measure_others(bench: Bench, name: str, references: References, photos: Photos, many: int) -> None:
    """One line: how many of other photos are taken for an enrolled one."""
    own = {one.photo for one in references}
    nearest: list[list[Any]] = []
    counted, waiting, chunk = 0, iter(photos), 0
    while counted < many:
        part = [one for _, one in zip(range(min(_CHUNK, many - counted)), waiting, strict=False)]
        if not part:
            break
        counted += len(part)

        def rows(part: list[tuple[str, Any]] = part) -> list[Any]:
            found = []
            for number, data in part:
                read = data() if callable(data) else data
                if photo_digest(read) in own:
                    continue
                best = references.compared(photo_prints(read))[:1]
                found += [[number, one.photo, round(overlay.apart, 4)] for one, overlay in best]
            return found

        nearest += bench.kept(f"{name}-{len(references)}-others-{chunk}", rows)
        chunk += 1
    apart = np.array([distance for _, _, distance in nearest])
    false = int((apart <= NEAR).sum())
    interval = wilson(false, counted)
    top = sorted(nearest, key=lambda row: row[2])[:10]
    bench.line(
        f"{name}/others",
        kind="false",
        data=name,
        enrolled=len(references),
        n=counted,
        pairs=counted * len(references),
        false=false,
        perhaps=int((apart <= MOST_APART).sum()),
        share=interval.value,
        high=interval.high,
        nearest=top,
        within={f"{bound:.1f}": int((apart <= bound).sum()) for bound in np.arange(0.5, 1.61, 0.1)},
    )


def measure_shop(bench: Bench, many: int, fakes: int, edited: int) -> None:
    """The rendered shop, whole."""
    seed = SEEDS[bench.part]
    known = planted(seed, fakes)
    references = enrolled(known)
    measure_edits(bench, "rendered", references, known[:edited])

    def lazily() -> Iterator[tuple[str, Any]]:
        numbers = {number for number, _ in known}
        for number in range(many + fakes):
            if str(number) not in numbers:
                yield str(number), lambda number=number: render_picture(seed, SHOP, number, SIZE).jpeg

    measure_others(bench, "rendered", references, lazily(), many)


def measure_real(bench: Bench, shared: Path, fakes: int, edited: int) -> None:
    """Clothing, enrolled and edited; the rest of it, and other sets, as photos that are something else."""
    half = 0 if bench.part == "validation" else 1
    paths = [path for path in _pictures(shared / "clothing") if _coin(path, shared) == half]
    if not paths:
        print(f"no photos in {shared / 'clothing'}: skipped")
        return
    paths.sort(key=lambda path: photo_digest(path.name.encode()))
    known = [(path.name, path.read_bytes()) for path in paths[:fakes]]
    references = enrolled(known)
    measure_edits(bench, "clothing", references, known[:edited])
    rest = paths[fakes:] + [
        path for name in OTHER_SETS for path in _pictures(shared / name) if _coin(path, shared) == half
    ]
    names = [(str(path.relative_to(shared)), path.read_bytes) for path in rest]
    measure_others(bench, "clothing", references, names, len(names))
    shoes = _pictures(shared / "sneakers")
    if bench.part == "test" and shoes:
        measure_pairs(bench, "sneakers", [(path.name, path.read_bytes()) for path in shoes])


def measure_pairs(bench: Bench, name: str, photos: list[tuple[str, bytes]]) -> None:
    """Every photo enrolled, and each matched with all others."""
    references = enrolled(photos)
    names = {photo_digest(data): number for number, data in photos}

    def rows() -> list[Any]:
        found = []
        for number, data in photos:
            for one, overlay in references.compared(photo_prints(data)):
                if one.photo != photo_digest(data):
                    found.append([number, names[one.photo], round(overlay.apart, 4)])
        return found

    nearest = bench.kept(f"{name}-pairs", rows)
    false, perhaps = (
        {tuple(sorted(row[:2])) for row in nearest if row[2] <= bound} for bound in (NEAR, MOST_APART)
    )
    top = sorted(nearest, key=lambda row: row[2])[:10]
    many = len(references)
    bench.line(
        f"{name}/pairs",
        kind="false",
        data=name,
        enrolled=many,
        n=many,
        pairs=many * (many - 1),
        false=len(false),
        perhaps=len(perhaps),
        share=len(false) / many,
        high=wilson(len(false), many).high,
        nearest=top,
    )


def measure_time(bench: Bench) -> None:
    """Milliseconds on one core: prints of a photo, and matching with 1,000 to 100,000 enrolled ones."""
    rng = np.random.default_rng(0)
    photos = [data for _, data in planted(SEEDS["validation"], 40)]
    large = [save(_decoded(data).resize((1000, 800)), 90) for data in photos]
    decoded = [photo_prints(data) for data in large]
    grey = [np.asarray(_decoded(data).convert("L").resize((256, 205))) for data in large]
    for name, work in (
        ("a photo of 1000 x 800 px, decoding and prints", [lambda d=data: photo_prints(d) for data in large]),
        ("the same decoded, prints alone", [lambda g=one: asked(prints_of(g)) for one in grey]),
    ):
        bench.line(f"time/{name}", kind="time", name=name, value=_median_ms(work), unit="ms")
    for many in (1_000, 10_000, 100_000):
        shelf = _shelf(many, rng)
        bits = [asked(prints).bits for prints in decoded]
        work = [lambda b=one, s=shelf: s.near(b) for one in bits]
        told = {"name": f"search among {many:,} enrolled photos", "unit": "ms", "rows": shelf.count}
        bench.line(f"time/search {many}", kind="time", value=_median_ms(work), **told)
    references = enrolled((str(i), data) for i, data in enumerate(photos))
    work = [lambda p=prints: references.compared(p) for prints in decoded]
    told = {"name": "one enrolled photo found among 40 and compared", "unit": "ms"}
    bench.line("time/compare", kind="time", value=_median_ms(work), **told)


def _shelf(many: int, rng: np.random.Generator) -> Shelf:
    """Prints without relation to anything, as many as that many photos have."""
    shelf = Shelf()
    for slot in range(many):
        rows = len(VIEWS)
        bits = rng.integers(0, 2**64, (rows, 4), dtype=np.uint64)
        shelf.add(slot, bits, np.zeros(rows, np.int16), np.arange(rows, dtype=np.int16))
    return shelf


def _median_ms(work: list[Callable[[], Any]]) -> float:
    work[0]()
    times = []
    for one in work:
        start = time.perf_counter()
        one()
        times.append(1000 * (time.perf_counter() - start))
    return round(float(np.median(times)), 2)


@lru_cache(maxsize=1)
def _code() -> str:
    """Of what likenesses come from: another one makes all of them anew."""
    files = ("frames", "prints", "views", "overlay", "shelf")
    folder = ROOT / "src" / "assay" / "decide"
    return photo_digest(b"".join((folder / f"{name}.py").read_bytes() for name in files))[:12]


def _decoded(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as opened:
        return ImageOps.exif_transpose(opened).convert("RGB")


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    masks = {"masks", "annotations"}
    found = (path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return sorted(path for path in found if not masks & set(path.parts))


def _coin(path: Path, shared: Path) -> int:
    """0 or 1, by the photo's name: validation and test share none."""
    return int(photo_digest(str(path.relative_to(shared)).encode())[0], 16) % 2


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=("validation", "test", "time"), default="test")
    parser.add_argument("--photos", type=int, help="rendered photos that are something else (100,000)")
    parser.add_argument("--enrolled", type=int, default=1000, help="rendered fakes that are known")
    parser.add_argument("--edited", type=int, default=200, help="of those, how many are edited")
    parser.add_argument("--real-enrolled", type=int, default=500, help="photos of clothing that are known")
    parser.add_argument("--only", choices=("rendered", "real"), help="one of the two")
    parser.add_argument("--shared", type=Path, default=SHARED, help="where the real photos are")
    parser.add_argument(
        "--runs", type=Path, default=ROOT / "runs" / "matching", help="what can be made again"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "matching.jsonl")
    args = parser.parse_args()
    bench = Bench(args.runs, args.out, args.part)
    if args.part == "time":
        measure_time(bench)
        return 0
    many = args.photos or (100_000 if args.part == "test" else 20_000)
    if args.only != "rendered":
        measure_real(bench, args.shared, args.real_enrolled, args.edited)
    if args.only != "real":
        measure_shop(bench, many, args.enrolled, args.edited)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
