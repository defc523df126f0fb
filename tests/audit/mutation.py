"""Hold the auditor to wrong and to equivalent versions of the note's true formulas, all of them or a sample.

    python tests/audit/mutation.py [--jobs N] [--topic NAME] [--sample]

Each version stands in a document of its own, in place of the true formula, beside others of its section. The independent
checker says whether it is different, meaningless or equal. Different ones must be refuted, meaningless ones refuted or
unread, equal ones anything but refuted, and no true formula beside them refuted; every counterexample must come out as
stated when the checker works it out. Exit code 1 if something is otherwise.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context

from independent import DIFFERENT, EQUAL, MEANINGLESS, Section
from independent_layers import DenseSection
from mutants import mutants
from topics import TOPICS, Topic, topic

from derive.audit.audit import audit_text
from derive.audit.syntax import formula as f
from derive.audit.syntax.reader import Unreadable, read
from derive.audit.verdict import Verdict

ALLOWED = {DIFFERENT: {"refuted"}, MEANINGLESS: {"refuted", "unread"}, EQUAL: {"proved", "conditional", "unread"}}
COSTS = ("quadratic", "squared_error")
SAMPLED = {
    "fully connected": 14, "quadratic cost": 4, "squared error": 1, "two steps": 5, "convolution": 3, "figures": 1,
    "average pooling": 2, "max pooling": 2, "updates": 7, "batch normalisation": 10, "logistic output": 6,
}  # fmt: skip


@dataclass(frozen=True)
class Version:
    """A formula in place of a true one: `kind` says what was changed."""

    topic: str
    kind: str
    original: str
    latex: str


@dataclass(frozen=True)
class Finding:
    """What the checker says of a version, what the auditor, and what is wrong with that."""

    version: Version
    settled: str
    verdict: str
    problems: tuple[str, ...]
    seconds: float


@cache
def versions() -> tuple[Version, ...]:
    """Every one, wrong or not."""
    return tuple(v for t in TOPICS for v in of_topic(t))


def of_topic(t: Topic) -> Iterator[Version]:
    yield from (Version(t.name, "equivalent", latex, latex) for latex in (*t.true, *t.equivalent))
    yield from (Version(t.name, *mutant) for mutant in mutants(list(t.true)))


def relations(latex: str) -> list[f.Relation]:
    return [r for clause in read(latex) if isinstance(clause, f.Clause) for r in clause.relations]


@cache
def settled(name: str, latex: str) -> str:
    """Different if one of its relations is, else meaningless if one is, or if there is no reading it."""
    try:
        relations(latex)
    except Unreadable:
        return MEANINGLESS
    found = {topic(name).section().settle(r) for r in relations(latex)}
    return next(each for each in (DIFFERENT, MEANINGLESS, EQUAL) if each in found)


def held(version: Version) -> Finding:
    """Audit one version, and compare."""
    start = time.process_time()
    t = topic(version.topic)
    text, line = t.document(version.latex, version.original)
    truth = settled(version.topic, version.latex)
    try:
        verdicts = audit_text(text)
    except Exception as error:
        return Finding(version, truth, "crash", (f"the auditor fails: {error!r}",), time.process_time() - start)
    whole, *parts = (v for v in verdicts if v.line == line)
    problems = (
        [] if whole.verdict in ALLOWED[truth] else [f"{truth}, but {whole.verdict} ({whole.scope}; {whole.reading})"]
    )
    problems += [f"true, but refuted: {v.latex}" for v in verdicts if v.line != line and v.verdict == "refuted"]
    for relation, part in (
        () if whole.verdict == "unread" else zip(relations(version.latex), parts or [whole], strict=True)
    ):
        try:
            wrong = part.verdict == "refuted" and not confirmed(t, relation, part, whole if not parts else parts[0])
        except Exception as error:
            problems.append(f"a counterexample that cannot be worked out, {error!r}: {part.counterexample}")
        else:
            problems += [f"a counterexample that is none: {part.counterexample}"] * wrong
    return Finding(version, truth, whole.verdict, tuple(problems), time.process_time() - start)


def confirmed(t: Topic, relation: f.Relation, verdict: Verdict, first: Verdict) -> bool:
    """Whether the checker comes to the same: the numbers stated, or no value at all."""
    assert verdict.counterexample is not None
    sections = sections_of(t, verdict, first)
    return any(s.settle(relation) == MEANINGLESS or s.replay(relation, verdict.counterexample) for s in sections)


def sections_of(t: Topic, verdict: Verdict, first: Verdict) -> list[Section]:
    """A formula that defines another of the costs than its topic has is held to that; one that has none left, to any."""
    if t.name not in ("quadratic cost", "squared error"):
        return [t.section()]
    if any("partial" in name for name in (verdict.counterexample or {"values": {}})["values"]):
        return [DenseSection()]
    costs = [v.system for v in (verdict, first) if v.system in COSTS]
    return [DenseSection(cost) for cost in costs or COSTS]


def sample(seed: int = 0) -> list[Version]:
    """Some of every topic, of as many kinds as there are; fewer where an audit takes long."""
    found = []
    for name, count in SAMPLED.items():
        own = [v for v in versions() if v.topic == name]
        random.Random(f"{name} {seed}").shuffle(own)
        seen: Counter[str] = Counter()
        turns = []  # a version's turn is how many of its kind there were before
        for v in own:
            turns.append(seen[v.kind])
            seen[v.kind] += 1
        found += [v for _, v in sorted(zip(turns, own, strict=True), key=lambda each: each[0])][:count]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Audit wrong and equivalent versions of true formulas.")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--topic", choices=[t.name for t in TOPICS], help="only these")
    parser.add_argument("--sample", action="store_true", help="only the sample that the tests take")
    arguments = parser.parse_args()
    everything = sample() if arguments.sample else versions()
    chosen = [v for v in everything if arguments.topic in (None, v.topic)]
    counts: Counter[tuple[str, str, str]] = Counter()
    wrong = 0
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        for finding in pool.map(held, chosen):
            counts[finding.version.topic, finding.settled, finding.verdict] += 1
            wrong += bool(finding.problems)
            for problem in finding.problems:
                print(
                    f"{finding.version.topic}, {finding.version.kind}: {finding.version.latex}\n    {problem}",
                    flush=True,
                )
    for (name, truth, verdict), count in sorted(counts.items()):
        print(f"{name:20} {truth:12} {verdict:12} {count:5}")
    for truth in (DIFFERENT, MEANINGLESS, EQUAL):
        print(f"{truth}: {sum(n for (_, each, _), n in counts.items() if each == truth)}")
    print(f"{wrong} of {len(chosen)} are not as they should be")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
