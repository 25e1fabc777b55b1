"""A candidate goes live and comes back in one step, whatever is killed when; versions are never changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.candidates import other_bundle, write_candidate, write_live, write_thresholds

from assay.bundle import load_bundle
from assay.decide.budgets import read_budgets, thresholds_path
from assay.decide.policy_read import read_policy
from assay.errors import ConfigError, PolicyError
from assay.runtime.policy_text import replaced
from assay.runtime.promote import RefusedError, promote, rollback
from assay.runtime.screening import load_screener
from assay.runtime.versions import live_version, locked, read_history, read_versions


@pytest.fixture
def live(tiny_bundle: Path, tmp_path: Path) -> Path:
    return write_live(tmp_path / "shop", tiny_bundle)


def name_of(live: Path) -> str:
    """The name on the card of the network that decides now, as a reader finds it; thresholds fit, or this raises."""
    screener = load_screener(live)
    return str(screener.model(screener.policy.questions[0]).card.name)


def threshold_of(live: Path) -> float | None:
    return load_screener(live).budgets.threshold("accept", "square")


def test_a_candidate_goes_live_and_comes_back(live, tmp_path):
    before = live.read_bytes(), thresholds_path(live).read_bytes()
    candidate = write_candidate(live, tmp_path / "next", "second")
    done = promote(live, candidate, who="ann", why="more shoes", at=5.0)
    assert (name_of(live), threshold_of(live)) == ("second", 0.7)
    assert (done.version.number, done.before.number) == (2, 1)
    assert done.warnings == ()
    facts = done.version.facts
    assert (facts["who"], facts["why"], facts["at"], facts["forced"]) == ("ann", "more shoes", 5.0, None)
    assert facts["comparison"]["passed"] is True
    assert facts["policy"]["digest"] == read_policy(live).digest
    back = rollback(live, who="bob", why="too strict", at=6.0)
    assert back.version.number == 1
    assert (live.read_bytes(), thresholds_path(live).read_bytes()) == before
    assert (name_of(live), threshold_of(live)) == ("first", 0.5)
    told = [(row["action"], row["before"], row["after"][:4], row["who"]) for row in read_history(live)]
    one, two = (version.name for version in read_versions(live))
    assert told == [
        ("adopt", None, "0001", "ann"),
        ("promote", one, "0002", "ann"),
        ("rollback", two, "0001", "bob"),
    ]
    with pytest.raises(ConfigError, match="is the first version"):
        rollback(live, who="bob")


def test_comments_and_words_of_the_policy_stay(live, tmp_path):
    live.write_text("# the shop's rules\n" + live.read_text("utf-8"), "utf-8")
    write_thresholds(live, 0.5)
    promote(live, write_candidate(live, tmp_path / "next", "second"), who="ann")
    text = live.read_text("utf-8")
    assert text.startswith("# the shop's rules\n")
    assert f"model: 'shapes.versions/{live_version(live).name}/shape.bundle'" in text


def test_a_version_stands_on_its_own(live, tmp_path):
    candidate = write_candidate(live, tmp_path / "next", "second")
    promote(live, candidate, who="ann")
    for place in (candidate, candidate.parent / "shape.bundle", live.parent / "tiny.bundle"):
        place.unlink()
    assert name_of(live) == "second"
    rollback(live, who="ann")
    assert (name_of(live), threshold_of(live)) == ("first", 0.5)
    version = live_version(live)
    assert version.number == 3, "the first one once more, with its own copy of the network"
    assert "once more" in version.facts["why"]


def test_versions_are_a_line_and_networks_of_versions_are_linked(live, tmp_path):
    for i, name in enumerate(("second", "third")):
        promote(live, write_candidate(live, tmp_path / name, name, 0.7 + i / 10), who="ann")
    assert name_of(live) == "third"
    rollback(live, who="ann")
    assert name_of(live) == "second"
    promote(live, write_candidate(live, tmp_path / "fourth", "fourth"), who="ann")
    rollback(live, who="ann")
    assert name_of(live) == "second"
    rollback(live, who="ann")
    assert name_of(live) == "first"


def test_what_is_changed_in_its_place_changes_no_version(live, tmp_path):
    promote(live, write_candidate(live, tmp_path / "next", "second"), who="ann")
    version = live_version(live)
    kept = version.contents()
    write_thresholds(live, 0.9)
    assert version.contents() == kept
    assert threshold_of(live) == 0.9
    promote(live, write_candidate(live, tmp_path / "third", "third"), who="ann")
    assert [one.facts["why"] for one in read_versions(live)] == [
        "live before the first promotion",
        "",
        "changed in its place",
        "",
    ]
    rollback(live, who="ann")
    assert (name_of(live), threshold_of(live)) == ("second", 0.9)
    rollback(live, who="ann")
    assert (name_of(live), threshold_of(live)) == ("first", 0.5)


def test_an_editor_that_replaces_the_file_is_followed(live, tmp_path):
    promote(live, write_candidate(live, tmp_path / "next", "second"), who="ann")
    text = live.read_text("utf-8")
    live.unlink()
    live.write_text(text + "# one more word\n", "utf-8")
    done = promote(live, write_candidate(live, tmp_path / "third", "third"), who="ann")
    assert live.is_symlink()
    rollback(live, who="ann")
    assert live.read_text("utf-8").endswith("# one more word\n")
    assert name_of(live) == "second"
    assert done.before.facts["why"] == "changed in its place"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"told": {"passed": False, "reasons": ["“circle” gets worse: -9 points"]}}, "“circle” gets worse"),
        ({"told": {"new": {"sha256": "0"}}}, "its comparison is of another network"),
        ({"told": {"live": {"sha256": "0"}}}, "another network went live since it was compared"),
        ({"told": {"question": "colour"}}, "which is asked no longer"),
        ({"score": None}, "it has no thresholds, so people would decide everything"),
        ({"change": lambda text: text.replace("risk: 0.3", "risk: 0.2", 1)}, "more than one network: risks"),
        ({"change": lambda text: text.replace("Round things", "Rings")}, "more than one network: clauses"),
    ],
)
def test_refusals(given, told, live, tmp_path):
    before = live.read_bytes(), thresholds_path(live).read_bytes()
    candidate = write_candidate(live, tmp_path / "next", "second", **given)
    with pytest.raises(RefusedError) as caught:
        promote(live, candidate, who="ann")
    assert told in str(caught.value)
    assert "--force" in caught.value.fix
    assert caught.value.exit_code == 1
    assert (live.read_bytes(), thresholds_path(live).read_bytes()) == before
    assert not live.is_symlink()
    done = promote(live, candidate, who="ann", force="it is wanted")
    assert done.version.facts["forced"] == "it is wanted"
    assert told in " ".join(done.version.facts["refused_for"])
    assert read_history(live)[-1]["forced"] == "it is wanted"
    assert name_of(live) == "second"


def test_without_a_comparison_nothing_goes_live(live, tmp_path):
    candidate = write_candidate(live, tmp_path / "next", "second")
    (candidate.parent / "comparison.json").unlink()
    with pytest.raises(RefusedError, match="was not compared with the live network"):
        promote(live, candidate, who="ann")
    (candidate.parent / "comparison.json").write_text("{}")
    with pytest.raises(PolicyError, match="cannot be read"):
        promote(live, candidate, who="ann")


def test_wrong_use(live, tmp_path):
    candidate = write_candidate(live, tmp_path / "next", "second")
    with pytest.raises(ConfigError, match="needs a reason"):
        promote(live, candidate, who="ann", force=" ")
    with pytest.raises(ConfigError, match="nothing was promoted yet"):
        rollback(live, who="ann")
    promote(live, candidate, who="ann")
    with pytest.raises(ConfigError, match="is live already"):
        promote(live, candidate, who="ann", force="again")
    linked = tmp_path / "linked.yaml"
    linked.symlink_to(live)
    with pytest.raises(ConfigError, match="a link that Assay did not make"):
        promote(linked, write_candidate(live, tmp_path / "third", "third"), who="ann")


def test_thresholds_of_another_network_do_not_go_live(live, tmp_path):
    candidate = write_candidate(live, tmp_path / "next", "second")
    other_bundle(candidate.parent / "shape.bundle", candidate.parent / "shape.bundle", "changed since")
    with pytest.raises(PolicyError, match="are for another policy"):
        promote(live, candidate, who="ann", force="whatever")


def test_a_policy_without_thresholds_goes_live_without(live, tmp_path, tiny_bundle):
    bare = write_live(tmp_path / "bare", tiny_bundle, score=None)
    promote(bare, write_candidate(bare, tmp_path / "next", "second", score=None), who="ann")
    assert name_of(bare) == "second"
    assert not thresholds_path(bare).exists()
    write_thresholds(bare, 0.6)
    assert threshold_of(bare) == 0.6
    rollback(bare, who="ann")
    assert not thresholds_path(bare).exists()


def test_places_in_yaml():
    text = "# top\nquestions:\n  kind: {model: a.bundle, answers: {'*': pass}}  # here\n"
    changed = replaced(text, {("questions", "kind", "model"): "it's.bundle"})
    assert changed == "# top\nquestions:\n  kind: {model: 'it''s.bundle', answers: {'*': pass}}  # here\n"
    assert replaced(text, {("questions", "other", "model"): "x"}) is None
    shared = "questions:\n  a: {model: &m x.bundle}\n  b: {model: *m}\n"
    assert replaced(shared, {("questions", "a", "model"): "y"}) is None


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
import assay.runtime.promote as room
from types import SimpleNamespace
from assay.decide.budgets import read_budgets, thresholds_path
from assay.decide.policy_read import read_policy

def loaded(path, **_):  # without an engine: a process with threads should not fork
    return SimpleNamespace(policy=read_policy(path), budgets=read_budgets(thresholds_path(Path(path))))

room.load_screener = loaded
live, candidate, action = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
def work():
    room.promote(live, candidate, who="ann") if action == "promote" else room.rollback(live, who="ann")

def killing(step):
    left = step
    def before(name):
        real = getattr(os, name)
        def call(*args, **kwargs):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)
        setattr(os, name, call)
    for name in ("mkdir", "replace", "rename", "symlink", "link", "unlink", "rmdir"):
        before(name)

def seen():
    policy, budgets = read_policy(live), read_budgets(thresholds_path(live))
    from assay.bundle import load_bundle
    bundle = load_bundle(policy.model_path(policy.questions[0]))
    budgets.require_for(policy, {"shape": bundle.digest + " fp32"})
    return bundle.card.name, budgets.threshold("accept", "square")

states, step = [], 0
while True:
    step += 1
    child = os.fork()
    if child == 0:
        killing(step)
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    states.append(seen())
    if os.WIFEXITED(status):
        print(os.WEXITSTATUS(status), step, *states[-1])
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
print(sorted(set(states)))
"""


@pytest.mark.parametrize("action", ["promote", "rollback"])
def test_a_kill_at_any_step_leaves_one_whole_version(action, live, tmp_path):
    """Killed before its first, second, ... change on the disk, again and again, until one attempt comes to its end."""
    candidate = write_candidate(live, tmp_path / "next", "second")
    if action == "rollback":
        promote(live, candidate, who="ann")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, live, candidate, action, root],
        capture_output=True, text=True, check=False, timeout=300, env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    last, states = done.stdout.strip().splitlines()
    assert states == "[('first', 0.5), ('second', 0.7)]", "never a mixture"
    assert int(last.split()[1]) > 15, "it was killed at many steps"
    wanted = "second" if action == "promote" else "first"
    assert name_of(live) == wanted
    assert [json.loads((one.folder / "version.json").read_text())["number"] for one in read_versions(live)]
    with locked(live):
        pass  # whoever comes next takes away what was left lying about
    decided = {row["after"] for row in read_history(live)}
    assert {one.name for one in read_versions(live)} <= decided, "what never decided is no version"
    left = [path.name for path in [*live.parent.glob(".*"), *(live.parent / "shapes.versions").glob(".*")]]
    assert len(left) == 1, "the folder that is live, and nothing else that is hidden"
    assert left[0].startswith(".live-")
    assert load_bundle(read_policy(live).model_path(read_policy(live).questions[0])).card.name == wanted
    assert read_budgets(thresholds_path(live)).threshold("accept", "square") == threshold_of(live)
