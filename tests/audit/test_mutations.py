"""One change to a true formula makes it refuted or unread; another spelling of it does not.

A sample of the versions that `mutation.py` holds the auditor to, the same each time; all of them by
`python tests/audit/mutation.py`.
"""

from collections import Counter
from functools import cache

import pytest
from independent import DIFFERENT, EQUAL
from independent_layers import DenseSection
from mutants import CHAIN_RULE, EQUIVALENT, EQUIVALENT_FOR_QUADRATIC, WRONG_CHAIN_RULE
from mutation import Finding, held, relations, sample, settled, versions
from topics import FULLY_CONNECTED, QUADRATIC, TOPICS, topic

from derive.audit.audit import audit_text

KINDS = {
    "sign", "factor", "exponent", "transpose", "index", "layer", "product", "half turn", "term dropped", "mean",
    "swapped gradients", "argument",
}  # fmt: skip
SLOW = {"batch normalisation", "figures"}  # to be settled in number
SAMPLE = sample()


@cache
def found(n: int) -> Finding:
    return held(SAMPLE[n])


def document(*latex: str) -> str:
    return "# Network\n\n" + "\n\n".join(f"$${each}$$" for each in latex) + "\n"


def test_there_are_wrong_versions_of_every_kind_and_equivalent_ones_in_number():
    truths = [(v, settled(v.topic, v.latex)) for v in versions() if v.topic not in SLOW]
    counts = Counter(truth for _, truth in truths)
    assert counts[DIFFERENT] > 400
    assert counts[EQUAL] > 80
    assert {v.kind for v, truth in truths if truth != EQUAL} >= KINDS
    assert len({v.topic for v, _ in truths}) == len(TOPICS) - len(SLOW)


@pytest.mark.parametrize("name", [t.name for t in TOPICS])
def test_what_is_written_down_as_true_is_true(name):
    t = topic(name)
    for latex in (*t.beside, *t.true, *t.equivalent):
        assert settled(name, latex) == EQUAL, latex


@pytest.mark.parametrize("n", range(len(SAMPLE)), ids=lambda n: f"{SAMPLE[n].topic}-{SAMPLE[n].kind}")
def test_a_version_gets_the_verdict_it_should(n):
    assert not found(n).problems, (found(n).version.latex, found(n).problems)


def test_the_sample_has_all_topics_and_many_kinds():
    assert {v.topic for v in SAMPLE} == {t.name for t in TOPICS}
    assert len({v.kind for v in SAMPLE} & KINDS) > 6
    assert sum(found(n).settled == DIFFERENT for n in range(len(SAMPLE))) > len(SAMPLE) / 2


# -- the fully-connected network, in one document each --------------------------------------------------------------


@pytest.mark.parametrize("latex", WRONG_CHAIN_RULE)
def test_a_wrong_chain_rule_is_wrong(latex):
    assert [DenseSection().settle(r) for r in relations(latex)] == [DIFFERENT]


def test_wrong_chain_rules_are_refuted():
    assert {v.verdict for v in audit_text(document(*WRONG_CHAIN_RULE))} == {"refuted"}


def test_the_chain_rule_in_components_is_proved():
    assert {v.verdict for v in audit_text(document(*CHAIN_RULE))} == {"proved"}


@pytest.mark.parametrize("latex", [EQUIVALENT, [QUADRATIC, *EQUIVALENT_FOR_QUADRATIC]], ids=["any cost", "quadratic"])
def test_equivalent_versions_are_proved_for_all_sizes(latex):
    for verdict in audit_text(document(*latex)):
        assert verdict.verdict in ("proved", "conditional"), verdict
        assert verdict.scope == "all sizes"


def test_a_correction_is_itself_proved():
    wrong = [
        v.latex for v in versions() if v.topic == FULLY_CONNECTED.name and v.kind in ("layer", "slope", "term dropped")
    ]
    verdicts = [v for latex in wrong[::6] for v in audit_text(document(FULLY_CONNECTED.beside[0], latex))]
    corrections = sorted({v.correction for v in verdicts if v.correction and "=" in v.correction})
    assert len(corrections) > 5
    for verdict in audit_text(document(*corrections)):
        assert verdict.verdict in ("proved", "conditional"), verdict
        assert verdict.scope == "all sizes"
