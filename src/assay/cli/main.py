"""``assay``: a table of verbs. Standard library only until a verb runs, so that help is immediate."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from assay import __version__
from assay.cli.failures import guard

VERBS = {
    "train": "train a classifier on a folder or table of labelled pictures",
    "evaluate": "measure a run or a Bundle on labelled pictures, with intervals",
    "export": "pack a run into one Bundle file for prediction without torch",
    "predict": "say what is in pictures: text, JSON lines, CSV, Parquet, COCO or annotated copies",
    "screen": "decide on photos by a shop's policy: accept, reject, another photo, or a person",
    "enrol": "tell a policy which photos show fakes and which the real thing",
    "serve": "run the screening service: photos over HTTP, pages for reviewers and operators",
    "keys": "make, list and revoke keys of a service",
    "verify-record": "check that no decision of a service was changed afterwards",
    "revise": "turn people's answers into new data and a candidate, compared with what is live",
    "promote": "let a candidate decide in place of the live policy, in one step",
    "rollback": "let the version of a policy decide again that was live before",
    "bench": "measure how fast a Bundle answers here, in every engine and precision",
    "report": "write one HTML page about a run",
    "calibrate": "set when a run holds its answer back: promised risk, sets of classes, unknown pictures",
    "compare": "compare networks on one data set, or two runs picture by picture",
    "explain": "show which pixels an answer rests on, with tests of whether that is true",
    "features": "write what a network sees in pictures: vectors, a map, neighbours, filters",
    "audit": "examine a data set: duplicates, leaks, wrong labels, shortcuts, too few pictures",
    "show": "draw a contact sheet of a data set, augmented if wanted",
    "check": "find what is broken or contradicts itself in a data set",
    "split": "deal a data set to train, validation and test, and write the split down",
    "convert": "write a data set in another format: coco, yolo, voc, masks, a table, folders",
    "crops": "cut boxes out of pictures: a data set of targets and backgrounds",
    "cutout": "cut things out along their masks: on nothing, on white, on blurred surroundings",
    "render": "render the picture set of a small shop, to try things on",
    "models": "list the networks",
    "checks": "print what a bug report needs: versions, machine, folders",
}
"""One line for every verb of ``assay.tables.COMMANDS``, in the order of use (a test compares the two)."""

_HELP = """\
Assay: recognise what is in pictures, and say how sure it is.

usage: assay VERB [arguments]

verbs:
{verbs}

`assay VERB --help` explains a verb. Options may be written --minutes 3 or minutes=3.

  assay train photos minutes=10 out=runs/first     photos/ has one folder for each class
  assay export runs/first out=first.bundle
  assay predict first.bundle new-photos/
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; ``assay.cli.failures`` lists the codes."""
    words = list(sys.argv[1:] if argv is None else argv)
    return guard(lambda: _run(words), as_json="--json" in words)


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        return _help(words)
    if words[0] in ("-V", "--version"):
        print(f"assay {__version__}")
        return 0
    return _run_verb(words)


def _help(words: list[str]) -> int:
    if len(words) > 1 and words[0] == "help":
        return _run([words[1], "--help"])
    verbs = "\n".join(f"  {name:<15}{summary}" for name, summary in VERBS.items())
    print(_HELP.format(verbs=verbs), end="", file=sys.stdout if words else sys.stderr)
    return 0 if words else 2


def _run_verb(words: list[str]) -> int:
    from assay.cli.command import build_parser, parse  # noqa: PLC0415 - help needs none of it
    from assay.tables import COMMANDS  # noqa: PLC0415

    command = COMMANDS.load(words[0])
    args = parse(build_parser(command), words[1:])
    args.words = ["assay", *words]  # runs write down what started them
    return int(command.run(args))
