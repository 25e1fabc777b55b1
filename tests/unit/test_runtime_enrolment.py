"""Embeddings beside answers, and enrolment without the command line."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.flows.test_screen import SHAPES
from tests.unit.test_decide_prints import drawn

import assay
from assay.decide.policy_read import read_policy
from assay.decide.references import read_references
from assay.errors import PolicyError
from assay.image import DEFAULT_LIMITS
from assay.photos import Photo
from assay.runtime.enrolment import BROKEN, MOVED, NEW, digests_of, open_enrolment
from assay.runtime.screening import load_screener


@pytest.fixture
def policy_path(tiny_bundle, tmp_path):
    path = tmp_path / "shapes.yaml"
    told = {**SHAPES, "matching": {"references": "known.references", "embedding": "shape"}}
    path.write_text(yaml.safe_dump(told, allow_unicode=True), "utf-8")
    return path


def pictures(many=3):
    """Photos that are pixels and no files, in many colours."""
    made = [np.stack([drawn(90, 120, seed=seed + c) for c in (0, 50, 90)], axis=2) for seed in range(many)]
    return [Photo(f"p{i}", lambda pixels=pixels: pixels) for i, pixels in enumerate(made)]


def test_an_embedding_is_told_with_the_answer(tiny_bundle, tmp_path):
    predictor = assay.load(tiny_bundle, threads=1)
    paths = []
    for photo in pictures():
        paths.append(tmp_path / f"{photo.name}.png")
        Image.fromarray(photo.read()).save(paths[-1])
    (tmp_path / "broken.png").write_bytes(b"nothing")
    found = list(predictor.predict([*paths, tmp_path / "broken.png"], embed=True))
    plain = list(predictor.predict(paths))
    for path, one, other in zip(paths, found, plain, strict=False):
        np.testing.assert_allclose(one.embedding, predictor.embed(path), atol=1e-5)
        np.testing.assert_allclose(one.probs, other.probs, atol=1e-6)
        assert other.embedding is None
    assert found[-1].error is not None
    assert found[-1].embedding is None


def test_a_network_of_several_heads_tells_its_embedding_too(scene_bundle, draw_cells):
    predictor = assay.load(scene_bundle, threads=1)
    path = draw_cells("photos/a.png", {(0, 1): "red", (3, 4): "blue"})
    (told,) = predictor.predict([path], embed=True)
    if "embedding" in predictor.engine.ends:
        np.testing.assert_allclose(told.embedding, predictor.embed(path), atol=1e-5)
    else:
        assert told.embedding is None
    (plain,) = predictor.predict([path])
    assert plain.embedding is None


def test_two_people_may_enrol_at_the_same_time(policy_path):
    first, second = (open_enrolment(read_policy(policy_path)) for _ in range(2))
    assert [one.outcome for one in first.add(pictures()[:2], "fake")] == [NEW, NEW]
    assert [one.outcome for one in second.add(pictures()[1:], "genuine")] == [NEW, NEW]
    assert (first.save(), second.save()) == (2, 2)
    known = read_references(policy_path.parent / "known.references")
    assert [(one.list) for one in known] == ["fake", "genuine", "genuine"]
    assert known.network.endswith(" fp32")
    third = open_enrolment(read_policy(policy_path))
    (moved,) = third.add(pictures()[:1], "genuine")
    assert moved.outcome == MOVED
    assert third.save() == 1
    assert third.save() == 1  # the same again, and nothing more
    assert open_enrolment(read_policy(policy_path)).save() == 0


def test_references_of_another_network_are_refused(policy_path):
    enrolment = open_enrolment(read_policy(policy_path))
    list(enrolment.add(pictures(), "genuine"))
    enrolment.save()
    place = policy_path.parent / "known.references"
    known = read_references(place)
    known.network = "other fp32"
    known.save(place)
    with pytest.raises(PolicyError, match="of another network, or of one in another precision"):
        load_screener(policy_path)
    with pytest.raises(PolicyError, match=r"remove .* and enrol the photos again"):
        open_enrolment(read_policy(policy_path))


def test_photos_without_a_file_are_matched(policy_path):
    enrolment = open_enrolment(read_policy(policy_path))
    list(enrolment.add(pictures(1), "fake"))
    enrolment.save()
    screener = load_screener(policy_path)
    darker = Photo("darker", lambda: (pictures(1)[0].read() * 0.7).astype(np.uint8)[:, ::-1])
    same, near, other = screener.screen([pictures()[0], darker, pictures()[2]])
    assert [match.way for match in same.evidence.matches] == ["exact"]
    assert [match.way for match in near.evidence.matches] == ["near"]
    assert other.evidence.matches == ()
    assert (near.verdict, near.clause) == ("review", "known-fake")


def test_files_are_read_within_the_limits(policy_path, tmp_path):
    """A file of terabytes, a pipe, nothing at all: none is read, each is one answer."""
    import os

    huge, pipe, gone = tmp_path / "huge.jpg", tmp_path / "pipe.jpg", tmp_path / "gone.jpg"
    with huge.open("wb") as file:
        file.truncate(DEFAULT_LIMITS.max_bytes + 1)
    os.mkfifo(pipe)
    paths = [huge, pipe, gone]
    words = ["is too large a file", "is not a regular file", "cannot be read; got: No such file"]
    for one, told, path in zip(load_screener(policy_path).screen(paths), words, paths, strict=True):
        assert f"{path} {told}" in one.error
        assert one.evidence.photo == ""
    outcomes = list(open_enrolment(read_policy(policy_path)).add(paths, "fake"))
    for one, told in zip(outcomes, words, strict=True):
        assert (one.outcome, one.photo) == (BROKEN, "")
        assert told in one.error
    assert [digest for _, digest in digests_of(paths)] == ["", "", ""]
