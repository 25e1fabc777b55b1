"""Worker processes: the same answers as in one process, and what happens when they die, hang, or meet poison."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from benchmarks.data.hostile_files import photograph
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from tests.cells import draw_cells, write_cells_bundle
from tests.poisoned_workers import DIES, HERE, RAISES, SLEEPS, SPINS

import assay
from assay.configs import PreprocessConfig
from assay.decide.evidence import photo_digest
from assay.decide.references import Reference, References
from assay.errors import AssayError, BundleError, PolicyError
from assay.image import DEFAULT_LIMITS
from assay.photos import Photo
from assay.preprocess import Preprocess
from assay.runtime.photo_prints import photo_prints
from assay.runtime.screen_parts import DecodePlan, answer_decoded, decode, decode_plan
from assay.runtime.screening import load_screener
from assay.service.masks import masks_of
from assay.service.workers.child import LostError
from assay.service.workers.facts import Failed
from assay.service.workers.pool import Answerers, Decoders

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc are Linux'")

SHAPES = {
    "format": 1,
    "name": "shapes",
    "version": "1",
    "questions": {"shape": {"model": "tiny.bundle", "answers": {"*": "pass"}}},
    "automatic": {"accept": {"risk": 0.3}},
}


@pytest.fixture
def policy(tiny_bundle, tmp_path):
    path = tmp_path / "shapes.yaml"
    path.write_text(yaml.safe_dump(SHAPES, allow_unicode=True), "utf-8")
    return path


@pytest.fixture
def files(photos):
    return sorted(photos.rglob("*.png"))


@asynccontextmanager
async def running(*pools):
    try:
        for pool in pools:
            await pool.start()
        yield
    finally:
        for pool in pools:
            await pool.stop()


async def until(holds, seconds):
    """Seconds until it holds."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds, "it never held"
        await asyncio.sleep(0.01)
    return time.monotonic() - begun


def named_photo(path):
    return Photo(path.name, path.read_bytes)


def test_halves_are_the_whole(policy, files):
    screener = load_screener(policy)
    plan = decode_plan(screener)
    (files[3].parent / "broken.png").write_bytes(files[3].read_bytes()[:200])
    files = [*files, files[3].parent / "broken.png"]
    whole = list(screener.evidence([named_photo(path) for path in files]))
    decoded = [decode(path.read_bytes(), plan, DEFAULT_LIMITS) for path in files]
    names, digests = [path.name for path in files], [one.photo for one in whole]
    for lanes in (1, 2):
        assert answer_decoded(screener, decoded, names, digests, lanes=lanes) == whole
    (model,) = screener.models.values()
    for one, prediction in zip(whole, model.predict(files), strict=True):
        assert (one.error is None) == (prediction.error is None)
        if one.error is None:
            assert one.answers["shape"] == pytest.approx(dict(prediction.top(5)), abs=1e-6)
    assert whole[-1].error.startswith("broken.png is damaged")


def test_one_decoding_serves_all_that_want_the_same_size(tmp_path, monkeypatch):
    """Networks and prints: a JPEG is decoded once for each size that is wanted, with the pixels of each alone."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (600, 800, 3), np.uint8)).save(stream, "JPEG")
    small, large = (PreprocessConfig(size=size, decode="scaled") for size in (96, 320))
    plan = DecodePlan((small, replace(small, mean=(0.4,)), large), prints=True)
    loads = []
    load = JpegImageFile.load

    def counted(self):
        if self.tile:  # there is something left to decode
            loads.append(self.size)
        return load(self)

    monkeypatch.setattr(JpegImageFile, "load", counted)
    found = decode(stream.getvalue(), plan)
    assert len(set(loads)) == len(loads) == 3
    for config, pixels in zip(plan.preprocess, found.pixels, strict=True):
        np.testing.assert_array_equal(pixels, Preprocess(config).read(stream.getvalue())[0])
    assert bytes(found.prints) == photo_prints(stream.getvalue()).to_bytes()


def test_halves_match_photos_as_the_whole_does(policy, files):
    """Prints and embeddings of enrolled photos: the answer is the same however it was come by."""
    told = yaml.safe_load(policy.read_text("utf-8"))
    told["matching"] = {"references": "known.references", "embedding": "shape", "item": "shape"}
    policy.write_text(yaml.safe_dump(told, allow_unicode=True), "utf-8")
    screener = load_screener(policy)
    references = References(screener.digests["shape"])
    for i, path in enumerate(files[::2]):
        data = path.read_bytes()
        kind, embedding = ("fake", "genuine")[i % 2], screener.models[screener.embedding_path].embed(path)
        references.add(Reference(photo_digest(data), kind, "circle"), photo_prints(data), embedding)
    references.save(policy.parent / "known.references")
    screener = load_screener(policy)
    plan = decode_plan(screener)
    assert plan.prints
    whole = list(screener.evidence([named_photo(path) for path in files]))
    assert {match.way for one in whole for match in one.matches} >= {"exact", "embedding"}
    decoded = [decode(path.read_bytes(), plan, DEFAULT_LIMITS) for path in files]
    names, digests = [path.name for path in files], [one.photo for one in whole]
    assert answer_decoded(screener, decoded, names, digests) == whole

    async def screen():
        decoders, answerers = Decoders(1), Answerers(policy, 1)
        async with running(decoders, answerers):
            decoded = [await decoders.decode(path.read_bytes(), answerers.facts.plan) for path in files]
            return decoded, await answerers.answer(decoded, names, digests)

    there, found = asyncio.run(screen())
    assert [bytes(one.prints) for one in there] == [bytes(one.prints) for one in decoded]
    without = [replace(one, prints=None) for one in decoded]  # processes are given no prints to match
    assert found == answer_decoded(screener, without, names, digests)


def test_processes_say_what_one_process_says(policy, files):
    screener = load_screener(policy)
    (files[3].parent / "broken.png").write_bytes(files[3].read_bytes()[:200])
    files = [*files, files[3].parent / "broken.png"]
    whole = list(screener.evidence([named_photo(path) for path in files]))
    names, digests = [path.name for path in files], [one.photo for one in whole]

    async def screen():
        decoders, answerers = Decoders(2), Answerers(policy, 1, threads=2)
        async with running(decoders, answerers):
            assert (decoders.alive, answerers.alive) == (2, 1)
            assert all(decoders.confined.values()), decoders.confined
            plan = answerers.facts.plan
            decoded = await asyncio.gather(*(decoders.decode(path.read_bytes(), plan) for path in files))
            return answerers.facts, decoded, await answerers.answer(decoded, names, digests)

    facts, decoded, found = asyncio.run(screen())
    assert found == whole
    assert facts.policy == screener.policy.digest
    assert facts.models == screener.digests
    assert facts.classes == screener.classes
    assert facts.plan == decode_plan(screener)
    for path, one in zip(files, decoded, strict=True):
        here = decode(path.read_bytes(), facts.plan)
        assert one.error == here.error
        assert all(np.array_equal(a, b) for a, b in zip(one.pixels, here.pixels, strict=True))


def test_masks_are_drawn_when_somebody_asks(tmp_path):
    path = tmp_path / "parts.yaml"
    parts = {"parts": {"model": "cells.bundle", "head": "boxes", "answers": {"*": "pass"}}}
    path.write_text(yaml.safe_dump({**SHAPES, "questions": parts}), "utf-8")
    predictor = assay.load(write_cells_bundle(tmp_path / "cells.bundle"))
    photo = tmp_path / "cells.png"
    draw_cells({(0, 1): "red", (3, 4): "blue"}, scale=32).save(photo)

    async def screen():
        decoders, answerers = Decoders(1), Answerers(path, 1)
        async with running(decoders, answerers):
            decoded = await decoders.decode(photo.read_bytes(), answerers.facts.plan)
            (found,) = await answerers.answer([decoded], ["x"], ["0" * 64])
            live = SimpleNamespace(facts=answerers.facts, answerers=answerers)
            return found, await masks_of(live, decoders, photo.read_bytes())

    found, told = asyncio.run(screen())
    assert [thing.mask for thing in found.things] == [None, None]
    assert told["size_hw"] == [1024, 1024]  # of 2048
    assert {thing["label"] for thing in told["things"]} == {"red", "blue"}
    whole = predictor(draw_cells({(0, 1): "red", (3, 4): "blue"}, scale=16))
    drawn = {whole.object_classes[i]: m.to_coco() for i, m in zip(whole.boxes.cls, whole.masks, strict=True)}
    assert {thing["label"]: thing["mask"] for thing in told["things"]} == drawn


def test_a_policy_without_masks_says_so():
    live = SimpleNamespace(facts=SimpleNamespace(masks=()))
    with pytest.raises(AssayError, match="no network of the policy draws masks"):
        asyncio.run(masks_of(live, None, b""))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_decoder_that_dies_or_hangs_is_replaced(how, policy, files):
    plan = decode_plan(load_screener(policy))

    async def screen():
        decoders = Decoders(1)
        async with running(decoders):
            (old,) = decoders.crew.pids
            os.kill(old, how)
            asked = asyncio.create_task(decoders.decode(files[0].read_bytes(), plan))
            noticed = await until(lambda: decoders.crew.pids != [old], 10)
            answered = noticed + await until(asked.done, 10)
            assert decoders.alive == 1
            return noticed, answered, asked.result()

    noticed, answered, found = asyncio.run(screen())
    assert found.error is None
    assert noticed <= 2
    assert answered <= 5


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_an_answerer_that_dies_or_hangs_is_replaced(how, policy, files):
    screener = load_screener(policy)
    plan = decode_plan(screener)
    decoded = [decode(path.read_bytes(), plan) for path in files]
    names, digests = [path.name for path in files], ["0" * 64] * len(files)
    whole = answer_decoded(screener, decoded, names, digests)

    async def screen():
        answerers = Answerers(policy, 1)
        async with running(answerers):
            (old,) = answerers.crew.pids
            os.kill(old, how)
            asked = asyncio.create_task(answerers.answer(decoded, names, digests))
            noticed = await until(lambda: answerers.crew.pids != [old], 10)
            answered = noticed + await until(asked.done, 10)
            return noticed, answered, asked.result()

    noticed, answered, found = asyncio.run(screen())
    assert found == whole
    assert noticed <= 2
    assert answered <= 5


class PoisonedDecoders(Decoders):
    program = (str(HERE), "decoder")


class PoisonedAnswerers(Answerers):
    program = (str(HERE), "answerer")


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        (RAISES, "the network chokes on this photo"),
        (DIES, "the answerer crashed"),
        (SLEEPS, "the answerer ran out of time"),
    ],
)
def test_poison_among_31_good_ones_harms_nobody_else(mark, told, policy, files):
    screener = load_screener(policy)
    plan = decode_plan(screener)
    decoded = [decode(files[i % len(files)].read_bytes(), plan) for i in range(32)]
    names, digests = [f"{i}.png" for i in range(32)], [f"{i:064x}" for i in range(32)]
    whole = answer_decoded(screener, decoded, names, digests)
    (pixels,) = decoded[13].pixels
    pixels.flat[0] = mark

    async def screen():
        answerers = PoisonedAnswerers(policy, 2, time_limit_s=0.5)
        async with running(answerers):
            return await answerers.answer(decoded, names, digests)

    found = asyncio.run(screen())
    assert found[13] == Failed(told)
    assert found[:13] + found[14:] == whole[:13] + whole[14:]


@pytest.mark.parametrize(
    ("mark", "told", "limit_s"),
    [
        (DIES, "the decoder crashed", 3.0),
        (SLEEPS, "the decoder ran out of time", 0.5),
        (SPINS, "the decoder ran out of time", 2.5),  # though it does not beat for longer than a hung one may
    ],
)
def test_a_photo_that_ends_its_decoder_is_answered(mark, told, limit_s, policy, files):
    plan = decode_plan(load_screener(policy))

    async def screen():
        decoders = PoisonedDecoders(1, time_limit_s=limit_s)
        async with running(decoders):
            poisoned = asyncio.create_task(decoders.decode(bytes([mark]), plan))
            good = asyncio.create_task(decoders.decode(files[0].read_bytes(), plan))
            return await poisoned, await good

    poisoned, good = asyncio.run(screen())
    assert poisoned.error == told
    assert good.error is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_photo_whose_decoder_is_killed_at_it_is_decoded_by_another(how, policy):
    plan = decode_plan(load_screener(policy))
    photo = photograph("PNG", 4000)

    async def screen():
        decoders = Decoders(1, time_limit_s=10.0)
        async with running(decoders):
            asked = asyncio.create_task(decoders.decode(photo, plan))
            await asyncio.sleep(0.1)
            assert not asked.done()
            os.kill(decoders.crew.pids[0], how)
            return await asked

    found = asyncio.run(screen())
    assert (found.error, found.size_hw) == (None, (3000, 4000))


class FaintingDecoders(Decoders):
    program = (str(HERE), "fainting")


def test_who_dies_at_once_is_replaced_ever_more_slowly(caplog):
    async def screen():
        decoders = FaintingDecoders(1)
        async with running(decoders):
            await until(lambda: caplog.text.count("is gone") >= 4, 60)
            times = [record.created for record in caplog.records if "is gone" in record.getMessage()]
            return [later - earlier for earlier, later in pairwise(times)]

    waits = asyncio.run(screen())
    assert waits[0] > 0.1
    assert waits[1] > 0.2
    assert waits[2] > 0.4


def test_what_a_policy_lacks_is_told_by_the_child(policy, tiny_bundle):
    text = policy.read_text("utf-8")

    async def start():
        answerers = Answerers(policy, 2)
        with pytest.raises(AssayError) as told:
            await answerers.start()
        assert answerers.alive == 0
        await answerers.stop()
        return told.value

    policy.write_text(text.replace("tiny.bundle", "none.bundle"), "utf-8")
    assert "there is no Bundle" in asyncio.run(start()).what
    policy.write_text(text.replace("version", "verzion"), "utf-8")
    assert isinstance(asyncio.run(start()), PolicyError)
    policy.write_text(text, "utf-8")
    tiny_bundle.write_bytes(tiny_bundle.read_bytes()[:-40])
    assert isinstance(asyncio.run(start()), BundleError)


def test_a_policy_that_changes_under_way_is_not_taken_up(policy, files, caplog):
    """No answer of another policy than the one that was started with."""

    async def screen():
        answerers = Answerers(policy, 1)
        async with running(answerers):
            text = policy.read_text("utf-8")
            policy.write_text(text.replace("version: '1'", "version: '2'"), "utf-8")
            os.kill(answerers.crew.pids[0], signal.SIGKILL)
            await until(lambda: "has changed since" in caplog.text, 20)
            assert answerers.alive == 0
            policy.write_text(text, "utf-8")
            await until(lambda: answerers.alive == 1, 30)

    asyncio.run(screen())


def test_who_gives_up_leaves_no_process_busy(policy, files):
    plan = decode_plan(load_screener(policy))

    async def screen():
        decoders = PoisonedDecoders(1, time_limit_s=1.0)
        async with running(decoders):
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(decoders.decode(bytes([SLEEPS]), plan), 0.05)
            return await decoders.decode(files[0].read_bytes(), plan)

    assert asyncio.run(screen()).error is None


def test_stopping_answers_everybody(policy, files):
    plan = decode_plan(load_screener(policy))

    async def screen():
        decoders = PoisonedDecoders(1)
        await decoders.start()
        asked = [asyncio.create_task(decoders.decode(bytes([SLEEPS]), plan)) for _ in range(3)]
        await asyncio.sleep(0.1)
        await decoders.stop()
        await decoders.stop()
        with pytest.raises(LostError):
            await decoders.decode(files[0].read_bytes(), plan)
        return await asyncio.gather(*asked, return_exceptions=True)

    assert [one.what for one in asyncio.run(screen())] == ["was stopped"] * 3


def test_a_decoder_dies_with_its_parent(tmp_path):
    code = (
        "import asyncio, os\n"
        "from assay.service.workers.pool import Decoders\n"
        "async def main():\n"
        "    decoders = Decoders(1)\n"
        "    await decoders.start()\n"
        "    print(decoders.crew.pids[0], flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    child = Path(f"/proc/{int(told.stdout)}/stat")
    begun = time.monotonic()
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() - begun < 5
        time.sleep(0.01)


def test_nothing_is_left_behind(policy, files):
    plan = decode_plan(load_screener(policy))

    def left():
        return (
            len(list(Path("/proc/self/fd").iterdir())),
            threading.active_count(),
            Path(f"/proc/self/task/{os.getpid()}/children").read_text().split(),
        )

    async def screen():
        counts = []
        for _ in range(6):
            decoders, answerers = Decoders(2), Answerers(policy, 1)
            async with running(decoders, answerers):
                await decoders.decode(files[0].read_bytes(), plan)
            counts.append(left())
        return counts

    first, *others = asyncio.run(screen())
    assert others == [first] * 5
    assert first[2] == []


def test_a_loop_that_stood_still_blames_nobody(policy, files):
    plan = decode_plan(load_screener(policy))

    async def screen():
        decoders = Decoders(2)
        async with running(decoders):
            pids = decoders.crew.pids
            asked = asyncio.create_task(decoders.decode(files[0].read_bytes(), plan))
            await asyncio.sleep(0)
            time.sleep(3.5)  # longer than a photo may take, and than a process may be silent
            await asyncio.sleep(0.3)
            return asked.result(), decoders.crew.pids == pids

    found, same = asyncio.run(screen())
    assert found.error is None
    assert same
