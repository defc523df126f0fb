"""One change to a true formula makes it refuted or unread; another spelling of it does not."""

from functools import cache

import pytest
from independent import holds, replay
from mutants import CHAIN_RULE, EQUIVALENT, EQUIVALENT_FOR_QUADRATIC, TRUE, WRONG_CHAIN_RULE, mutants

from derive.audit.audit import audit_text

COST = r"$$C = \frac{1}{2} \sum_j (y_j - a_j^L)^2$$"
MUTANTS = list(mutants())
KINDS = sorted({kind for kind, *_ in MUTANTS})


def cost_of(latex):
    return "squared_error" if "Error" in latex else "quadratic" if "y" in latex else "linear"


@cache
def verdicts(latex):
    """Of the formula in a document that defines the quadratic cost first, where the formula speaks of targets."""
    before = f"{COST}\n\n" if "y" in latex and "C =" not in latex else ""
    return [v for v in audit_text(f"{before}$${latex}$$") if not (before and v.line == 1)]


def test_there_are_more_than_two_hundred_wrong_versions_of_every_kind():
    assert len(MUTANTS) > 200
    assert {"sign", "layer", "transpose", "index", "slope", "argument", "product", "quantity", "factor", "term"} <= set(
        KINDS
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_version_is_refuted_or_unread(kind):
    for _, original, changed in (m for m in MUTANTS if m[0] == kind):
        whole = verdicts(changed)[0]
        assert whole.verdict in ("refuted", "unread"), (original, changed, whole)
        assert whole.verdict != "unread" or whole.reason


def test_few_wrong_versions_are_unread():
    unread = [changed for *_, changed in MUTANTS if verdicts(changed)[0].verdict == "unread"]
    assert len(unread) < len(MUTANTS) / 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_counterexample_is_one_when_another_program_computes_it(kind):
    for *_, changed in (m for m in MUTANTS if m[0] == kind):
        whole, *parts = verdicts(changed)
        for number, verdict in enumerate(parts or [whole]):
            if verdict.verdict == "refuted":
                cost = verdict.system if verdict.system in ("quadratic", "squared_error") else cost_of(changed)
                assert replay(changed, number, verdict.counterexample, cost), (changed, verdict)


def test_a_refuted_quantity_of_the_network_comes_with_what_is_right():
    for *_, changed in MUTANTS:
        verdict = verdicts(changed)[0]
        if verdict.verdict == "refuted" and changed.startswith((r"\delta", "z", "a", r"\frac{\partial C}{\partial")):
            assert verdict.correction, changed


def test_a_correction_is_itself_proved():
    found = {(v.correction, v.system) for *_, changed in MUTANTS for v in verdicts(changed) if v.correction}
    equations = sorted((c, system or "") for c, system in found if "=" in c)
    assert len(equations) > 20
    for correction, system in equations:
        squared = r"$$C = \sum_j (y_j - a_j^L)^2$$" if system == "squared_error" else COST
        before = f"{squared}\n\n" if "y_" in correction and not correction.startswith("C") else ""
        *_, verdict = audit_text(f"{before}$${correction}$$")
        assert verdict.verdict in ("proved", "conditional"), (correction, verdict)
        assert verdict.scope == "all sizes"


@pytest.mark.parametrize("latex", TRUE + EQUIVALENT + EQUIVALENT_FOR_QUADRATIC)
def test_an_equivalent_version_is_not_refuted(latex):
    for verdict in verdicts(latex):
        assert verdict.verdict in ("proved", "conditional"), verdict
        assert verdict.scope == "all sizes"


@pytest.mark.parametrize("latex", EQUIVALENT + EQUIVALENT_FOR_QUADRATIC)
def test_an_equivalent_version_is_equivalent_when_another_program_computes_it(latex):
    assert holds(latex, cost_of(latex))


@pytest.mark.parametrize("latex", CHAIN_RULE)
def test_the_chain_rule_in_components_is_proved(latex):
    assert {v.verdict for v in verdicts(latex)} == {"proved"}


@pytest.mark.parametrize("latex", WRONG_CHAIN_RULE)
def test_a_wrong_chain_rule_is_refuted(latex):
    assert verdicts(latex)[0].verdict == "refuted"
