"""Abstention as a whole: fitted, asked, stored and read again, and its words."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from assay.decide.abstention import fit_abstention
from assay.decide.stored import (
    ARRAYS,
    PLAIN,
    from_parts,
    load_abstention,
    read_parts,
    save_abstention,
    to_parts,
)
from assay.decide.words import cautions, promises, share
from assay.errors import BundleError, ConfigError
from assay.labels import ClassNames
from assay.postprocess import probabilities
from assay.verb_configs import AbstainConfig

CLASSES = ClassNames(["bowl", "cup", "plate"])


def pictures(rng, n, noise=0.7):
    """(logits, embedding, targets) of a network that is right in most cases."""
    targets = rng.integers(0, 3, n)
    embedding = np.eye(5)[targets] * 3 + noise * rng.standard_normal((n, 5))
    return (2 * embedding[:, :3]).astype(np.float32), embedding.astype(np.float32), targets


def fitted(n=400, seed=0, noise=0.7, reference=True, groups=None, about=None, **options):
    rng = np.random.default_rng(seed)
    train = pictures(rng, 200, noise)[:2] if reference else None
    config = AbstainConfig.from_dict(options)
    return fit_abstention(*pictures(rng, n, noise), groups, train, 1.3, config, classes=CLASSES, about=about)


def asked(abstention, logits, embedding):
    return abstention.doubt(probabilities(logits, abstention.temperature), logits, embedding)


def test_sure_known_pictures_are_answered():
    abstention = fitted()
    logits, embedding, targets = pictures(np.random.default_rng(9), 1000)
    doubts = asked(abstention, logits, embedding)
    given = np.array([not d.abstains for d in doubts])
    right = logits.argmax(1) == targets
    assert given.mean() > 0.8
    assert (~right[given]).mean() <= 0.05
    assert np.mean(["unknown" in d.reasons for d in doubts]) == pytest.approx(0.05, abs=0.03)
    held = [CLASSES[int(t)] in d.labels for d, t in zip(doubts, targets, strict=True)]
    assert np.mean(held) > 0.87
    assert all(d.labels[0] == CLASSES[int(k)] for d, k in zip(doubts, logits.argmax(1), strict=True))
    assert all(0 < d.known <= 1 for d in doubts)


def test_reasons():
    abstention = fitted(noise=1.2)
    far = np.array([[0, 0, 0, 9, -9]], np.float32)
    low = np.array([[-30, -40, -40]], np.float32)  # surer than sure by its softmax, and yet nothing speaks up
    torn = np.array([[3, 3, 0, 0, 0]], np.float32)
    sure = np.array([[3, 0, 0, 0, 0]], np.float32)
    (unknown,) = asked(abstention, low, far)
    (unsure,) = asked(abstention, 2 * torn[:, :3], torn)
    (fine,) = asked(abstention, 2 * sure[:, :3], sure)
    assert unknown.reasons == ("unknown",)
    assert unsure.reasons[-1] == "unsure"
    assert set(unsure.labels) >= {"bowl", "cup"}
    assert (fine.reasons, fine.labels, fine.abstains) == ((), ("bowl",), False)


def test_the_joint_promise_holds_over_calibrations():
    """Unsure and unknown together, as both are applied: a higher risk than promised in at most one of ten."""
    rng = np.random.default_rng(1)
    logits, embedding, targets = pictures(rng, 20_000, noise=1.2)
    wrong = logits.argmax(1) != targets
    broken = 0
    for seed in range(40):
        abstention = fitted(300, seed=seed + 10, noise=1.2, risk=0.05)
        probs = probabilities(logits, abstention.temperature)
        given = abstention.threshold.accepts(probs.max(1)) & (
            abstention.unknown.known(logits, embedding) > 0.05
        )
        broken += bool(given.any() and wrong[given].mean() > 0.05)
    assert broken <= 40 * 0.1 + 3 * math.sqrt(40 * 0.09)


def test_nothing_can_be_promised():
    abstention = fitted(3)
    assert abstention.threshold.threshold is None
    doubts = asked(abstention, *pictures(np.random.default_rng(2), 5)[:2])
    assert all("unsure" in d.reasons for d in doubts)
    assert all(set(d.labels) == set(CLASSES) for d in doubts)
    told = promises(abstention)
    assert told[0].startswith(
        "It cannot be promised that at most 5 % of its answers are wrong: 3 pictures are too few"
    )
    assert "the least share of wrong answers that can be promised with them is 80 % (--risk 0.8)" in told[0]
    assert "each set names every class" in told[1]
    assert "at most 5 % false alarms need at least 19 pictures, and these are 3 pictures" in told[2]


def test_words_of_a_promise():
    told = promises(fitted())
    assert told[0].startswith(
        "Of the answers it gives, at most 5 % are wrong (holds with 90 % confidence if new pictures are like these "
        "400 pictures). It answers "
    )
    assert "at least 90 % of cases" in told[1]
    assert "of 3 classes on average" in told[1]
    assert told[2].startswith(
        "At most 5 % of pictures like these are called unknown by mistake; 200 training"
    )
    assert cautions(fitted()) == []
    assert "optimistic" in cautions(fitted(about={"chose_weights": True}))[0]


def test_groups_are_the_unit_where_there_are_some():
    names = [f"sender {i // 4}" for i in range(400)]
    by_group = fitted(groups=names, risk=0.2)
    assert (by_group.calibration.unit, by_group.calibration.groups) == ("group", 100)
    assert "every group counting alike" in promises(by_group)[0]
    assert "new groups are like these 100 groups with 400 pictures" in promises(by_group)[0]
    by_picture = fitted(groups=names, unit="picture")
    assert by_picture.calibration.unit == "picture"
    assert "100 groups" in cautions(by_picture)[0]
    assert fitted(groups=[f"{i}" for i in range(400)]).calibration.unit == "picture"
    with pytest.raises(ConfigError, match="no group holds two"):
        fitted(unit="group")


def test_without_a_reference_nothing_is_unknown():
    abstention = fitted(reference=False)
    (doubt,) = abstention.doubt(np.array([[0.98, 0.01, 0.01]]), np.zeros((1, 3)), np.zeros((1, 5)))
    assert doubt.reasons == ()
    assert math.isnan(doubt.known)
    assert doubt.to_dict()["known"] is None
    assert "not looked for" in promises(abstention)[2]


def test_an_empty_batch():
    assert fitted().doubt(np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 5))) == []


@pytest.mark.parametrize("reference", [True, False])
@pytest.mark.parametrize("n", [3, 400])
def test_stored_and_read_again(tmp_path, n, reference):
    abstention = fitted(n, reference=reference)
    save_abstention(abstention, tmp_path)
    again = load_abstention(tmp_path, CLASSES)
    logits, embedding, _ = pictures(np.random.default_rng(3), 50)
    assert asked(again, logits, embedding) == asked(abstention, logits, embedding) or not reference
    assert again.digest == abstention.digest
    assert promises(again) == promises(abstention)
    assert to_parts(again) == to_parts(abstention)
    json.dumps(to_parts(abstention)[0], allow_nan=False)


def test_a_folder_without_thresholds(tmp_path):
    assert load_abstention(tmp_path, CLASSES) is None


def changed(plain, path, value):
    copy = json.loads(json.dumps(plain))
    place = copy
    for key in path[:-1]:
        place = place[key]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (["format"], 2, "this program reads 1"),
        (["more"], 1, "more are missing or unknown"),
        (["sets"], KeyError, "sets are missing or unknown"),
        (["threshold", "threshold"], 3, "threshold is 3"),
        (["threshold", "threshold"], "high", "no number"),
        (["threshold", "extra"], 1, "extra"),
        (["config", "risk"], 7, "risk is 7"),
        (["sets", "limits"], [0.1, 0.2], "2 limits"),
        (["sets", "kind"], "aps", "kind 'aps'"),
        (["unknown", "neighbours"], 0, "neighbours is 0"),
        (["unknown", "spread"], [0.0, 1.0], "not above 0"),
        (["calibration", "unit"], "shop", "no pictures or groups"),
        (["temperature"], -1, "not above 0"),
        (["arrays"], "0", "another calibration"),
        (["classes"], "0", "other classes"),
    ],
)
def test_damaged_plain_parts_have_words(path, value, told):
    plain, data = to_parts(fitted(60))
    with pytest.raises(BundleError, match="stored thresholds are not valid") as error:
        from_parts(changed(plain, path, value), data, CLASSES)
    assert told in error.value.got


def test_damaged_arrays_have_words(tmp_path):
    import hashlib

    from safetensors.numpy import load, save

    plain, data = to_parts(fitted(60))
    for name, change in (("scores", lambda a: a[::-1].copy()), ("reference", lambda a: a.astype(np.float32))):
        arrays = load(data)
        arrays[name] = change(arrays[name])
        other = save(arrays)
        with pytest.raises(BundleError, match="not valid"):
            from_parts({**plain, "arrays": hashlib.sha256(other).hexdigest()}, other, CLASSES)
    save_abstention(fitted(60), tmp_path)
    (tmp_path / PLAIN).write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        read_parts(tmp_path)
    (tmp_path / ARRAYS).unlink()
    with pytest.raises(BundleError):
        read_parts(tmp_path)


def test_wrong_input_has_words():
    with pytest.raises(ConfigError, match="no picture to calibrate on"):
        fitted(0)
    with pytest.raises(ConfigError, match=r"calibration takes logits \(N, 3\)"):
        fit_abstention(np.ones((2, 4)), np.ones((2, 2)), [0, 1], classes=CLASSES)
    with pytest.raises(ConfigError, match="not finite"):
        fit_abstention(np.full((2, 3), np.nan), np.ones((2, 2)), [0, 1], classes=CLASSES)
    with pytest.raises(ConfigError, match="3 classes"):
        fitted(60).doubt(np.ones((1, 2)), np.ones((1, 2)), np.ones((1, 5)))
    with pytest.raises(ConfigError, match="needs embeddings"):
        fitted(60).doubt(np.ones((1, 3)), np.ones((1, 3)), np.ones((1, 4)))


def test_shares_in_words():
    assert [share(v) for v in (0.05, 0.125, 1.0, None, math.nan)] == [
        "5 %", "12.5 %", "100 %", "an unknown share", "an unknown share",
    ]  # fmt: skip
